package wsmanager

import "cmp"

// encodings returns the encodings in which a broadcast to the set is needed. If no
// registered connection has agreed on compression, none of them is compressed.
func (br *broadcaster) encodings(q *broadcastQueue) encodingSet {
	s := encodingSet(q.encodings.Load())
	if br.compressing.Load() == 0 {
		s &^= compressedEncodings
	}
	return s
}

// encode encodes p for a broadcast to the set of q. An encoding that fails has a nil frame.
// encode logs one error for each variant that failed, and returns the first error. An
// encoding that no connection of the set has now is not an error.
func (br *broadcaster) encode(b *broadcast, p *Prepared, q *broadcastQueue) (first error) {
	needed := br.encodings(q)
	b.encoded = needed
	var failed encodingSet
	for e := range needed.all {
		frame, err := br.frame(p, e)
		if err != nil {
			if !q.has(e) {
				b.encoded &^= 1 << e // a connection that enters now is not in the audience
				continue
			}
			if plain := encodingOf(e.variant(), false); !failed.has(plain) {
				failed |= 1 << plain
				br.logUnsendable(err, e)
			}
			first = cmp.Or(first, err)
			frame = nil
		}
		b.frames[e] = frame
	}
	return first
}

func (br *broadcaster) logUnsendable(err error, e encoding) {
	br.logger().Error("a broadcast can't be sent", "err", err, "variant", int(e.variant()))
}
