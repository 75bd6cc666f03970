// Package compression is the recipe for gzip and zstd with
// github.com/klauspost/compress/gzhttp.
//
// # Order
//
// It belongs inside telemetry and AccessLog, which then count the bytes on the wire; an
// observer inside counts the bytes that handlers write, if no other observes outside: a
// pipeline.Response belongs to the outermost one. Callbacks for the start of the response
// run once, when the headers are actually sent, so they see the Content-Encoding.
//
// Recover may be outside or inside. In both cases a handler that panics before it writes is
// answered with a clean 500, and one that panics later ends in a broken response, never in
// a well-formed half one. gzhttp terminates its stream correctly even if a panic passes, so
// a Recoverer that swallows the panic instead of aborting leaves a complete 200 with half
// of the body.
//
// # Traps
//
//   - gzhttp holds status and body back until it has MinSize bytes or is flushed. A
//     handler's Flush before its first byte does nothing, so the headers of a stream are
//     sent with the first event. Write a comment line first.
//   - A compressed body is another representation with another ETag. gzhttp keeps the
//     handler's, or prevents 304s with a suffix. [Compress] makes it weak, as nginx does:
//     If-None-Match still works, and If-Range, which would mix the two representations,
//     does not.
//   - An answer that contains a secret beside data that the client has sent leaks the
//     secret through its length (the BREACH attack). Set the header
//     gzhttp.HeaderNoCompression on such an answer, or Options.Jitter.
//   - WebSockets pass through unchanged; their compression is their own.
package compression

import (
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzhttp"

	"github.com/speakingtube/speakingtube/pipeline"
)

// Options configure [Compress].
type Options struct {
	// MinSize is the size in bytes below which a body is not compressed. Default: 1024.
	MinSize int

	// Jitter adds between 1 and this number of bytes to each body, depending on a hash of
	// its first 64 KiB, to blur its length. That many bytes are held back until a flush. At
	// most 65,533. Default: none.
	Jitter int
}

// Compress makes the component. Bodies are compressed with zstd or gzip, as the request's
// Accept-Encoding says, if their type compresses well (not JPEG, audio, video or archives),
// and if they are neither encoded already nor ranges. An answer to HEAD describes the
// uncompressed body.
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
// comparisons with If-None-Match still succeed, and those that require identical bytes
// fail.
var weakETags = pipeline.Observe(func(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
	// If it is too late, a component above has already started the response.
	_ = res.OnStarting(func(h http.Header, _ int) {
		if etag := h.Get("ETag"); h.Get("Content-Encoding") != "" && strings.HasPrefix(etag, `"`) {
			h.Set("ETag", "W/"+etag)
		}
	})
	next.ServeHTTP(w, r)
})
