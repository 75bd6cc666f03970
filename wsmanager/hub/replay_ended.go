package hub

// The .NET client does not count an item of a stream that it does not know any more, because it cannot decode the item. If
// the items of a stream that has ended are sent again, it counts too few messages, and drops as many new ones later.
//
// So such items are followed by a Sequence with the number of the first one and as many messages that every client counts:
// Completions of a call that does not exist. A client that has not counted the items counts those instead. A client that has
// counted them goes back, counts the Completions as messages that it has received already, and drops them.

// endedCallID is the id of a call that does not exist. Clients use numbers.
const endedCallID = "-"

// trailersLocked returns what follows the unacknowledged items of streams whose end was written to an earlier socket, by the
// number of the last item of a row.
func (r *replay) trailersLocked(written int64) map[int64][]byte {
	if r.session.sink == nil {
		return nil // a client sends no results
	}
	first := r.firstUnackedLocked()
	records := r.unacked.from(0)
	ended := make(map[string]bool)
	items := make([]string, len(records)) // the id of the stream of each item
	for i := len(records) - 1; i >= 0; i-- {
		switch m := r.parseOwn(records[i]).(type) {
		case *Completion:
			if first+int64(i) <= written {
				ended[m.ID] = true
			}
		case *StreamItem:
			if ended[m.ID] {
				items[i] = m.ID
			}
		}
	}
	if len(ended) == 0 {
		return nil
	}
	filler, err := r.session.protocol.Append(nil, &Completion{ID: endedCallID})
	if err != nil {
		return nil
	}
	trailers := make(map[int64][]byte)
	row := 0
	for i, id := range items {
		if id == "" {
			continue
		}
		row++
		if i+1 < len(items) && items[i+1] != "" {
			continue
		}
		last := first + int64(i)
		trailer, err := r.session.protocol.Append(nil, &Sequence{SequenceID: last - int64(row) + 1})
		if err != nil {
			return nil
		}
		for range row {
			trailer = append(trailer, filler...)
		}
		trailers[last] = trailer
		row = 0
	}
	return trailers
}

// parseOwn parses a record that the session has made. It returns nil if the protocol cannot parse its own records.
func (r *replay) parseOwn(record []byte) Message {
	content, n, err := r.session.protocol.Cut(record, len(record))
	if err != nil || n == 0 {
		return nil
	}
	m, err := r.session.protocol.Parse(content)
	if err != nil {
		return nil
	}
	return m
}
