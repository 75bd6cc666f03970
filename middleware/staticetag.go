package middleware

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"io/fs"
	"strconv"
	"sync"
	"time"
)

// timeETag returns an ETag made of a file's time and size, or "" if it has no
// time. It is strong: the time counts nanoseconds, where Last-Modified has but
// seconds.
func timeETag(info fs.FileInfo) string {
	t := info.ModTime()
	if t.IsZero() || t.Equal(time.Unix(0, 0)) { // what net/http takes for no time
		return ""
	}
	b := make([]byte, 0, 32)
	b = append(b, '"')
	b = strconv.AppendInt(b, t.UnixNano(), 36)
	b = append(b, '-')
	b = strconv.AppendInt(b, info.Size(), 36)
	return string(append(b, '"'))
}

// hashes are the ETags of files without a time, by name. There are no more of
// them than files.
type hashes struct{ m sync.Map }

// hash is made once, however many ask for it meanwhile.
type hash struct {
	mu   sync.Mutex
	size int64
	etag string // "" until it is known
}

func (hs *hashes) etag(fsys fs.FS, name string, size int64) (string, error) {
	v, ok := hs.m.Load(name)
	if !ok {
		v, _ = hs.m.LoadOrStore(name, &hash{})
	}
	h := v.(*hash)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.etag != "" && h.size == size {
		return h.etag, nil
	}
	// A file of its own: f may be one that can't seek back.
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	h.size, h.etag = size, `"`+base64.RawURLEncoding.EncodeToString(sum.Sum(nil)[:16])+`"`
	return h.etag, nil
}
