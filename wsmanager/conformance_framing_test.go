package wsmanager_test

import "fmt"

// framingCases returns unfragmented messages of every length around which the header
// changes.
func framingCases(p peer) (cases []conformance) {
	for _, n := range []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 124, 125, 126, 127, 128, 129, 65534, 65535, 65536, 65537} {
		for _, kind := range []struct {
			name, unit string
			send       func(string) string
			want       func(string) wire
		}{{"text", "*", p.text, textOf}, {"binary", "\xfe", p.binary, binaryOf}} {
			payload := repeat(kind.unit, n)
			chops := []int{0, 1, 997}
			if n > 1000 {
				chops = []int{0, 997}
			}
			for _, chop := range chops {
				cases = append(cases, conformance{"5.2", fmt.Sprintf("%s of %d in writes of %d", kind.name, n, chop), kind.send(payload), chop, []wire{kind.want(payload)}, 0})
			}
		}
	}
	for n := range 15 { // headers end at the end of a write, and inside of one
		payload := repeat("y", 70_000)
		whole := p.binary(payload) + p.text("next")
		cases = append(cases, conformance{"5.2", fmt.Sprintf("a write ends %d octets into the header", n), whole, n + 1, []wire{binaryOf(payload), textOf("next")}, 0})
		if n > 2 {
			cases[len(cases)-1].chop *= 1000 // smaller writes of a big message would take too many system calls
		}
	}
	return append(cases,
		conformance{"5.2", "messages in one write", p.text("a") + p.binary("b") + p.text("") + p.text("c"), 0, []wire{textOf("a"), binaryOf("b"), textOf(""), textOf("c")}, 0},
		conformance{"5.2", "a length below 126 in 16 bits", p.headIn(final|aBinary, 16, 125), 0, nil, 1002},
		conformance{"5.2", "a length of 0 in 16 bits", p.headIn(final|aText, 16, 0), 0, nil, 1002},
		conformance{"5.2", "a length below 65536 in 64 bits", p.headIn(final|aBinary, 64, 65535), 0, nil, 1002},
		conformance{"5.2", "a length of 1 in 64 bits", p.headIn(final|aText, 64, 1), 0, nil, 1002},
		conformance{"5.2", "a length with its top bit", p.headIn(final|aBinary, 64, 1<<63), 0, nil, 1002},
		conformance{"5.2", "the longest length with its top bit", p.headIn(final|aBinary, 64, 1<<64-1), 0, nil, 1002},
	)
}

// reservedCases returns reserved bits and opcodes. The first octet is enough to detect
// each.
func reservedCases(p peer) (cases []conformance) {
	for rsv := byte(1); rsv < 8; rsv++ {
		for _, op := range []byte{aText, aBinary, aClose, aPing, aPong} {
			name := fmt.Sprintf("reserved bits %03b with opcode %d", rsv, op)
			bad := p.frame(final|rsv<<4|op, "")
			cases = append(cases,
				conformance{"5.2", name, bad, 0, nil, 1002},
				conformance{"5.2", name + ", by the first octet", bad[:1], 0, nil, 1002},
				conformance{"5.2", name + ", after a message and before one", p.text("a") + bad + p.text("b"), 0, []wire{textOf("a")}, 1002},
			)
		}
		name := fmt.Sprintf("reserved bits %03b", rsv)
		cases = append(cases,
			conformance{"5.2", name + " on a continuation", p.frame(aText, "a") + p.frame(final|rsv<<4, "b"), 0, nil, 1002},
			conformance{"5.2", name + " on the first of two", p.frame(rsv<<4|aText, "a") + p.frame(final, "b"), 0, nil, 1002},
			conformance{"5.2", name + " with a payload, octet by octet", p.frame(final|rsv<<4|aText, "some text"), 1, nil, 1002},
			conformance{"5.2", name + " on a ping between fragments", p.frame(aText, "a") + p.frame(final|rsv<<4|aPing, "p") + p.frame(final, "b"), 0, nil, 1002},
		)
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		name := fmt.Sprintf("reserved opcode %d", op)
		bad := p.frame(final|op, "")
		cases = append(cases,
			conformance{"5.2", name, bad, 0, nil, 1002},
			conformance{"5.2", name + ", by the first octet", bad[:1], 0, nil, 1002},
			conformance{"5.2", name + ", not final", p.frame(op, "reserved"), 0, nil, 1002},
			conformance{"5.2", name + " with a payload, octet by octet", p.frame(final|op, "reserved"), 1, nil, 1002},
			conformance{"5.2", name + ", after a message and before a ping", p.text("a") + bad + p.ping("p"), 0, []wire{textOf("a")}, 1002},
			conformance{"5.2", name + " between fragments", p.frame(aText, "a") + bad + p.frame(final, "b"), 0, nil, 1002},
		)
	}
	return cases
}

// maskingCases returns frames that violate the masking rule for their sender, and frames
// with unusual masking keys.
func maskingCases(p peer) (cases []conformance) {
	wrong := peer{masks: !p.masks}
	for _, op := range []byte{aText, aBinary, aClose, aPing, aPong} {
		bad := wrong.frame(final|op, "")
		cases = append(cases,
			conformance{"5.1", fmt.Sprintf("the wrong mask bit with opcode %d, by the second octet", op), bad[:2], 0, nil, 1002},
			conformance{"5.1", fmt.Sprintf("the wrong mask bit with opcode %d, after a message", op), p.text("a") + wrong.frame(final|op, "payload"), 0, []wire{textOf("a")}, 1002},
		)
	}
	cases = append(cases,
		conformance{"5.1", "the wrong mask bit on a continuation", p.frame(aText, "a") + wrong.frame(final, "b"), 0, nil, 1002},
		conformance{"5.1", "the wrong mask bit on a long frame, by the second octet", wrong.binary(repeat("x", 70_000))[:2], 0, nil, 1002},
	)
	if !p.masks {
		return cases
	}
	// Any key is valid, also the zero key. The key's octets apply in turn.
	for _, key := range []string{"\x00\x00\x00\x00", "\xff\xff\xff\xff", "\x01\x02\x04\x08", "\x80\x00\x00\x01"} {
		payload := []byte("a payload whose length is no multiple of four")
		for i := range payload {
			payload[i] ^= key[i%4]
		}
		cases = append(cases, conformance{"5.3", fmt.Sprintf("the key %x", key), string([]byte{final | aText, 0x80 | byte(len(payload))}) + key + string(payload), 0, []wire{textOf("a payload whose length is no multiple of four")}, 0})
	}
	return cases
}
