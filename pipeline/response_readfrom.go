package pipeline

import (
	"io"
	"sync"
)

// sniffLen is the number of bytes of a source that net/http reads itself, to detect the
// content type, before it passes the rest on.
const sniffLen = 512

var sniffBuffers = sync.Pool{New: func() any { return new([sniffLen]byte) }}

// readFrom is the write path of ReadFrom. A source that fails or is empty must not start
// the response, so the beginning goes through write.
func (res *Response) readFrom(src io.Reader, write io.Writer, rest io.ReaderFrom) (int64, error) {
	var begun int64
	if !res.Started() || res.body != nil && !res.body.isSettled() { // src may be the request's body
		n, more, err := res.beginFrom(src, write)
		if !more {
			return n, err
		}
		begun = n
	}
	if res.isComplete() {
		return begun, ErrResponseCompleted
	}
	if res.body != nil {
		res.body.settle()
	}
	n, err := rest.ReadFrom(src)
	res.bytes.Add(n)
	return begun + n, err
}

// beginFrom copies up to sniffLen bytes with the source's own reads. It reports whether
// there may be more.
func (res *Response) beginFrom(src io.Reader, write io.Writer) (begun int64, more bool, err error) {
	buf := sniffBuffers.Get().(*[sniffLen]byte)
	defer sniffBuffers.Put(buf)
	for begun < sniffLen {
		n, rerr := src.Read(buf[:sniffLen-begun])
		if n > 0 {
			if err := res.startBody(n); err != nil {
				return begun, false, err
			}
			m, werr := write.Write(buf[:n])
			res.wrote(m)
			begun += int64(m)
			if werr == nil && m < n {
				werr = io.ErrShortWrite
			}
			if werr != nil {
				return begun, false, werr
			}
		}
		if rerr == io.EOF {
			return begun, false, nil
		}
		if rerr != nil {
			return begun, false, rerr
		}
	}
	return begun, true, nil
}
