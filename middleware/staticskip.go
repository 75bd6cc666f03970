package middleware

import (
	"errors"
	"io"
	"io/fs"
)

// skipReader implements Seek for a file that can only be read sequentially: it skips
// forwards, and opens the file again to go back.
type skipReader struct {
	fsys fs.FS
	name string
	size int64

	f    fs.File
	at   int64 // position of f
	want int64 // position of the next Read

	reopened bool // f was opened here and must be closed here
}

// Seek implements io.Seeker. It only records the position for the next Read.
func (s *skipReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.want
	case io.SeekEnd:
		offset += s.size
	}
	if offset < 0 {
		return 0, errors.New("middleware: seek before the beginning of a file")
	}
	s.want = offset
	return offset, nil
}

// Read implements io.Reader.
func (s *skipReader) Read(p []byte) (int, error) {
	if s.want < s.at {
		f, err := s.fsys.Open(s.name)
		if err != nil {
			return 0, err
		}
		s.close()
		s.f, s.at, s.reopened = f, 0, true
	}
	if s.at < s.want {
		n, err := io.CopyN(io.Discard, s.f, s.want-s.at)
		s.at += n
		if err != nil {
			return 0, err
		}
	}
	n, err := s.f.Read(p)
	s.at += int64(n)
	s.want = s.at
	return n, err
}

// close closes the file that Read has opened.
func (s *skipReader) close() {
	if s.reopened {
		_ = s.f.Close() // it was only read
	}
}
