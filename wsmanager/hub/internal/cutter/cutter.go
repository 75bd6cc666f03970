package cutter

// Func cuts the first record off data. The first seen bytes of data were passed to it before without finding the end of
// the record. It returns the record, which may refer to data, and its size with framing. The size is 0 if data ends before
// the record. An error means that the stream has no valid record here.
type Func func(data []byte, seen int) (record []byte, size int, err error)

// Cutter cuts records. Its zero value is at the start of a stream. Between two pieces it holds the start of a record whose
// end has not arrived, and otherwise no memory.
type Cutter struct {
	data  []byte // not cut yet
	seen  int    // bytes of data that were searched
	owned []byte // the buffer that data is in; nil while data is in the piece
}

// Push adds a piece. The Cutter refers to the piece until Keep or Drop.
func (c *Cutter) Push(piece []byte) {
	if len(c.data) == 0 {
		c.data, c.owned = piece, nil
		return
	}
	c.data = append(c.data, piece...)
	c.owned = c.data
}

// Next cuts off the next record. It returns false if the end of the record has not arrived, and after an error.
func (c *Cutter) Next(cut Func) (record []byte, ok bool, err error) {
	if len(c.data) == 0 {
		return nil, false, nil
	}
	record, size, err := cut(c.data, c.seen)
	if err != nil {
		return nil, false, err
	}
	if size == 0 {
		c.seen = len(c.data)
		return nil, false, nil
	}
	c.data, c.seen = c.data[size:], 0
	return record, true, nil
}

// Keep keeps the bytes that were not cut for the next piece. The records that were cut are not valid any more.
func (c *Cutter) Keep() {
	switch {
	case len(c.data) == 0:
		c.Drop()
	case c.owned == nil:
		c.data = append([]byte(nil), c.data...)
		c.owned = c.data
	case cap(c.data) < cap(c.owned)/2: // records were cut off, and take memory
		c.data = append(make([]byte, 0, 2*len(c.data)), c.data...)
		c.owned = c.data
	}
}

// Drop forgets everything that was not cut.
func (c *Cutter) Drop() { *c = Cutter{} }

// Held returns how many bytes of memory the Cutter holds.
func (c *Cutter) Held() int { return cap(c.owned) }
