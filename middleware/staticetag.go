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

// timeETag returns an ETag from a file's time and size, or "" if it has no time. It is
// strong: its time has nanoseconds, while Last-Modified only has seconds.
func timeETag(info fs.FileInfo) string {
	t := info.ModTime()
	if t.IsZero() || t.Equal(time.Unix(0, 0)) { // net/http treats these as no time
		return ""
	}
	b := make([]byte, 0, 32)
	b = append(b, '"')
	b = strconv.AppendInt(b, t.UnixNano(), 36)
	b = append(b, '-')
	b = strconv.AppendInt(b, info.Size(), 36)
	return string(append(b, '"'))
}

// hashes has the ETags of files without a time, by name. It has at most one entry for each
// file.
type hashes struct{ m sync.Map }

// hash is computed once, for any number of concurrent requests.
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
	// The file is opened again, because f may not be able to seek back.
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
