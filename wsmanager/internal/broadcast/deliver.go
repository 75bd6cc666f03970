package broadcast

import "github.com/speakingtube/speakingtube/wsmanager/internal/frame"

// deliver sends the batch of q, which ends with the number last, to the connections that
// are in the set now.
func (br *Broadcaster[C]) deliver(q *Queue[C], last uint32) {
	s := SnapshotOf(q.Set)
	defer s.Release()
	bf := batchFrames[C]{batch: q.backlog.batch}
	for _, b := range bf.batch {
		bf.exceptions = bf.exceptions || len(b.except) > 0
	}
	defer bf.release()
	for _, r := range s.Recipients {
		br.deliverTo(q, r, last, &bf)
	}
}

// deliverTo sends the part of a batch that is pending for one connection.
func (br *Broadcaster[C]) deliverTo(q *Queue[C], to Recipient[C], last uint32, bf *batchFrames[C]) {
	c := to.Conn
	c.Lock()
	r := c.Reception()
	p := place[C]{r, to.m}
	delivered := p.delivered()
	n := int(int32(last - *delivered))
	switch {
	case n <= 0 || !p.receiving():
	case br.behindElsewhere(r, q):
		br.catchUp(c, r)
	default:
		*delivered = last
		e, _ := r.Encoding()
		batch := bf.batch[len(bf.batch)-n:]
		if n == 1 {
			br.sendOne(c, batch[0], e, false)
			break
		}
		var data []byte
		var frames [][]byte
		if !br.Alone {
			data, frames = bf.joined(e, n)
		}
		if data != nil && !bf.excepts(c) {
			br.sendJoined(c, data, frames, batch, false)
		} else {
			br.sendList(c, batch, e, false)
		}
	}
	c.UnlockAndYield()
}

// sendList sends the broadcasts of the list that are for c. catchUp is that of note.
func (br *Broadcaster[C]) sendList(c C, list []*Broadcast[C], e Encoding, catchUp bool) {
	if len(list) <= 1 || br.Alone {
		for _, b := range list {
			br.sendOne(c, b, e, catchUp)
		}
		return
	}
	j := pooled[joinedSend[C]](&joinedSends)
	defer j.release()
	size := 0
	for _, b := range list {
		switch {
		case !b.isFor(c, e):
		case b.frames[e] == nil:
			br.dropUnsendable(b, catchUp)
		default:
			j.broadcasts = append(j.broadcasts, b)
			j.frames = append(j.frames, b.frames[e])
			size += len(b.frames[e])
		}
	}
	if size > MaxJoined {
		for i, b := range j.broadcasts {
			br.note(b, c.Send(j.frames[i]), catchUp)
		}
		return
	}
	buf := frame.GetBuffer()
	defer frame.PutBuffer(buf)
	for _, f := range j.frames {
		*buf = append(*buf, f...)
	}
	br.sendJoined(c, *buf, j.frames, j.broadcasts, catchUp)
}

func (br *Broadcaster[C]) sendOne(c C, b *Broadcast[C], e Encoding, catchUp bool) {
	switch {
	case !b.isFor(c, e):
	case b.frames[e] == nil:
		br.dropUnsendable(b, catchUp)
	default:
		br.note(b, c.Send(b.frames[e]), catchUp)
	}
}

// sendJoined sends the frames of several broadcasts. data is the concatenation of the
// frames.
func (br *Broadcaster[C]) sendJoined(c C, data []byte, frames [][]byte, list []*Broadcast[C], catchUp bool) {
	sent := c.WriteFrames(data, frames)
	for _, b := range list[:sent] {
		b.countQueued(catchUp)
	}
	for i := sent; i < len(frames); i++ {
		br.note(list[i], c.Enqueue(frames[i]), catchUp)
	}
}
