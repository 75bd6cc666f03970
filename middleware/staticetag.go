package middleware

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"strconv"
	"sync"
	"time"
)

// earliestTime is where modification times begin to say something. Earlier ones are
// constants: the zero time of an embed.FS, 1970 of reproducible builds and package managers,
// 1979 or 1980 of archives without times.
var earliestTime = time.Date(1981, time.January, 1, 0, 0, 0, 0, time.UTC)

func hasTime(info fs.FileInfo) bool { return !info.ModTime().Before(earliestTime) }

// timeETag returns an ETag from a file's time and size. It is strong: its time has
// nanoseconds, while Last-Modified only has seconds.
func timeETag(info fs.FileInfo) string {
	b := make([]byte, 0, 32)
	b = append(b, '"')
	b = strconv.AppendInt(b, info.ModTime().UnixNano(), 36)
	b = append(b, '-')
	b = strconv.AppendInt(b, info.Size(), 36)
	return string(append(b, '"'))
}

const (
	// maxHashes is the number of files whose hashes are stored. A file system that ignores
	// case has many names for one file, and clients choose them.
	maxHashes = 4096

	// settling is the age from which a change of a file is visible in its change time.
	// Clocks of file systems tick every 10 ms, some every 2 s.
	settling = 2 * time.Second
)

var errFileChanged = errors.New("middleware: the file changed while it was hashed")

// hashes has the hashes of files, by name.
type hashes struct {
	mu     sync.Mutex
	byName map[string]*hash
}

// hash is computed once, for any number of concurrent requests.
type hash struct {
	id   identity
	done chan struct{} // closed when the fields below are set
	tag  string
	err  error
}

// get returns the hash of the version id of a file. compute reads the file; it is called
// without a lock, and by one request at a time.
func (hs *hashes) get(ctx context.Context, name string, id identity, compute func() (string, error)) (string, error) {
	hs.mu.Lock()
	if h := hs.byName[name]; h != nil && h.id == id {
		hs.mu.Unlock()
		select {
		case <-h.done:
			return h.tag, h.err
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	h := &hash{id: id, done: make(chan struct{}), err: errFileChanged} // replaced, unless compute panics
	hs.put(name, h)
	hs.mu.Unlock()

	settled := id.isSettled(time.Now())
	defer func() {
		if h.err != nil || !settled {
			hs.remove(name, h)
		}
		close(h.done)
	}()
	h.tag, h.err = compute()
	return h.tag, h.err
}

func (hs *hashes) put(name string, h *hash) {
	if hs.byName == nil {
		hs.byName = map[string]*hash{}
	}
	if _, ok := hs.byName[name]; !ok && len(hs.byName) >= maxHashes {
		for other := range hs.byName { // any: the order of a map is random
			delete(hs.byName, other)
			break
		}
	}
	hs.byName[name] = h
}

func (hs *hashes) remove(name string, h *hash) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.byName[name] == h {
		delete(hs.byName, name)
	}
}

// etag returns the strong ETag of an open file, or "" if the file changes meanwhile, and
// whether its modification time tells its versions apart.
func (s *staticFiles) etag(ctx context.Context, name string, f fs.File, info fs.FileInfo) (tag string, timed bool, err error) {
	id, isArchive := identityOf(info)
	if hasTime(info) && !s.HashContent && !isArchive {
		return timeETag(info), true, nil
	}
	tag, err = s.hashes.get(ctx, name, id, func() (string, error) {
		tag, err := s.hashFile(name, f)
		if err != nil {
			return "", err
		}
		if again, err := f.Stat(); err != nil {
			return "", err
		} else if id2, _ := identityOf(again); id2 != id {
			return "", errFileChanged
		}
		return tag, nil
	})
	if errors.Is(err, errFileChanged) {
		return "", false, nil
	}
	return tag, false, err
}

// hashFile hashes f and seeks back to its beginning. It opens a file that can't seek again.
func (s *staticFiles) hashFile(name string, f fs.File) (string, error) {
	source := f
	seeker, seeks := f.(io.Seeker)
	if !seeks {
		again, err := s.openAgain(name, f)
		if err != nil {
			return "", err
		}
		defer again.Close()
		source = again
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, source); err != nil {
		return "", err
	}
	if seeks {
		if _, err := seeker.Seek(0, io.SeekStart); err != nil {
			return "", err
		}
	}
	return `"` + base64.RawURLEncoding.EncodeToString(sum.Sum(nil)[:16]) + `"`, nil
}

// openAgain opens the same version of an open file. The name may have another file by now.
func (s *staticFiles) openAgain(name string, f fs.File) (fs.File, error) {
	again, err := s.FS.Open(name)
	if err != nil {
		return nil, err
	}
	first, err := f.Stat()
	if err == nil {
		var second fs.FileInfo
		if second, err = again.Stat(); err == nil {
			a, _ := identityOf(first)
			b, _ := identityOf(second)
			if a == b {
				return again, nil
			}
			err = errFileChanged
		}
	}
	_ = again.Close() // it was only read
	return nil, err
}
