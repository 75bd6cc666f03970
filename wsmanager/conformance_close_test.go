package wsmanager_test

import "fmt"

// closeCases returns the ways in which the peer closes.
func closeCases(p peer) (cases []conformance) {
	bye := p.close(1000, "bye")
	for _, n := range []int{1, 2, 122, 123} {
		reason := repeat("r", n)
		cases = append(cases, conformance{"5.5.1", fmt.Sprintf("a reason of %d", n), p.close(1000, reason), 0, []wire{closeOf(1000, reason)}, 0})
	}
	cases = append(cases,
		conformance{"5.5.1", "an empty close frame", p.frame(final|aClose, ""), 0, []wire{{final | aClose, ""}}, 0},
		conformance{"5.5.1", "an empty close frame, octet by octet", p.frame(final|aClose, ""), 1, []wire{{final | aClose, ""}}, 0},
		conformance{"5.5.1", "octet by octet", bye, 1, []wire{closeOf(1000, "bye")}, 0},
		conformance{"5.5.1", "a reason of characters", p.close(1000, "κόσμε 😀"), 0, []wire{closeOf(1000, "κόσμε 😀")}, 0},
		conformance{"5.5.1", "half a code", p.frame(final|aClose, "\x03"), 0, nil, 1002},
		conformance{"5.5.1", "a reason of 124", p.head(final|aClose, 126), 0, nil, 1002},
		conformance{"5.5.1", "after a message", p.text("a") + bye, 0, []wire{textOf("a"), closeOf(1000, "bye")}, 0},
		conformance{"5.5.1", "after a ping", p.ping("p") + bye, 0, []wire{pongOf("p"), closeOf(1000, "bye")}, 0},
	)
	for _, op := range []struct {
		name  string
		after string
	}{
		{"a message", p.text("too late")},
		{"a ping", p.ping("too late")},
		{"another close frame", p.close(1001, "too late")},
		{"a broken frame", "\xff\xff\xff"},
		{"an invalid text", p.text("\xff")},
		{"a long message", p.binary(repeat("x", 256<<10))},
		{"a megabyte of anything", repeat("anything", 128<<10)},
	} {
		cases = append(cases,
			conformance{"5.5.1", op.name + " after the close frame", bye + op.after, 0, []wire{closeOf(1000, "bye")}, 0},
			conformance{"7.1.7", op.name + " after a frame that fails the connection", p.frame(final|3, "") + op.after, 0, nil, 1002},
			conformance{"7.1.1", op.name + " after the close frame, in writes of 1000", bye + op.after, 1000, []wire{closeOf(1000, "bye")}, 0},
		)
	}
	cases = append(cases, conformance{"7.1.7", "a close frame after a frame that fails the connection", p.frame(final|3, "") + p.close(1002, ""), 0, nil, 1002})
	for _, tt := range badTexts {
		cases = append(cases, conformance{"5.5.1", tt.name + " in the reason", p.close(1000, tt.text), 0, nil, 1007})
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 9999, 65535} {
		cases = append(cases,
			conformance{"7.4", fmt.Sprintf("the code %d", code), p.close(code, ""), 0, nil, 1002},
			conformance{"7.4", fmt.Sprintf("the code %d with a reason", code), p.close(code, "reason"), 0, nil, 1002},
		)
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3001, 3999, 4000, 4001, 4999} {
		cases = append(cases,
			conformance{"7.4", fmt.Sprintf("the code %d", code), p.close(code, ""), 0, []wire{closeOf(code, "")}, 0},
			conformance{"7.4", fmt.Sprintf("the code %d with a reason", code), p.close(code, "reason"), 0, []wire{closeOf(code, "reason")}, 0},
		)
	}
	return cases
}
