// Package compression is the recipe for gzip and zstd with
// github.com/klauspost/compress/gzhttp.
//
// # Order
//
// Inside telemetry and AccessLog, which then count the bytes that travel; an
// observer inside counts the bytes that handlers write, if no other observes
// outside: a pipeline.Response belongs to the outermost one. Callbacks for the
// start of the response run once, when the headers really go out, so they see the
// Content-Encoding.
//
// Recover may stand outside or inside. Either way a handler that panics before it
// writes is answered with a clean 500, and one that panics later ends in a broken
// response, never in a well-formed half one. gzhttp ends its stream properly even
// when a panic passes, so a Recoverer that swallows the panic instead of aborting
// leaves a complete 200 with half of the body.
//
// # Traps
//
//   - gzhttp holds status and body back until it has MinSize bytes or is flushed.
//     A handler's Flush before its first byte does nothing, so the headers of a
//     stream go out with the first event. Write a comment line first.
//   - A compressed body is another representation with another ETag. gzhttp keeps
//     the handler's, or takes 304s away with a suffix. [Compress] makes it weak, as
//     nginx does: If-None-Match still works, and If-Range, which would mix the two
//     representations, does not.
//   - An answer that holds a secret beside something that the client has sent leaks
//     the secret by its length (the BREACH attack). Set the header
//     gzhttp.HeaderNoCompression on such an answer, or Options.Jitter.
//   - WebSockets pass through untouched; their compression is their own.
package compression

import (
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzhttp"

	"github.com/speakingtube/speakingtube/pipeline"
)

// Options configure [Compress].
type Options struct {
	// MinSize is the size in bytes below which a body goes out as it is.
	// Default: 1024.
	MinSize int

	// Jitter adds 1 to so many bytes to each body, as a hash of its first 64 KiB
	// says, to blur its length. So much is held back then, up to a flush. At
	// most 65,533. Default: none.
	Jitter int
}

// Compress makes the component. Bodies are compressed with zstd or gzip, as the
// request's Accept-Encoding says, if their type is worth it (not that of JPEGs,
// sound, films or archives), they are not encoded already and are no ranges. An
// answer to HEAD speaks of the plain body.
//
//go:noinline
func Compress(opts Options) pipeline.Middleware {
	minSize := opts.MinSize
	if minSize == 0 {
		minSize = gzhttp.DefaultMinSize
	}
	return func(next http.Handler) http.Handler {
		if opts.Jitter < 0 {
			panic(&pipeline.ConfigError{Component: "compression.Compress", Problem: "Jitter is negative"})
		}
		settings := gzhttp.MinSize(minSize)
		wrap, err := gzhttp.NewWrapper(settings)
		if opts.Jitter > 0 {
			wrap, err = gzhttp.NewWrapper(settings, gzhttp.RandomJitter(opts.Jitter, 0, false))
		}
		if err != nil {
			panic(&pipeline.ConfigError{Component: "compression.Compress", Problem: err.Error()})
		}
		return weakETags(wrap(next))
	}
}

// weakETags makes the ETags of compressed answers weak (RFC 9110, section 8.8.1):
// what is compared with If-None-Match is the same, and what needs the very same
// bytes is not.
var weakETags = pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
	// Too late means that something above has started the response already.
	_ = res.OnStarting(func(h http.Header, _ int) {
		if etag := h.Get("ETag"); h.Get("Content-Encoding") != "" && strings.HasPrefix(etag, `"`) {
			h.Set("ETag", "W/"+etag)
		}
	})
	next.ServeHTTP(w, r)
})
