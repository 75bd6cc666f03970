package wsmanager_test

import "fmt"

// controlCases returns pings, pongs, and invalid control frames.
func controlCases(p peer) (cases []conformance) {
	for _, n := range []int{0, 1, 5, 124, 125} {
		payload := repeat("\xfe", n)
		for _, chop := range []int{0, 1} {
			cases = append(cases,
				conformance{"5.5.2", fmt.Sprintf("a ping of %d in writes of %d", n, chop), p.ping(payload), chop, []wire{pongOf(payload)}, 0},
				conformance{"5.5.3", fmt.Sprintf("a pong of %d that nobody asked for, in writes of %d", n, chop), p.frame(final|aPong, payload) + p.ping("p"), chop, []wire{pongOf("p")}, 0},
			)
		}
	}
	tenPings, tenPongs := "", []wire(nil)
	for i := range 10 {
		payload := fmt.Sprintf("ping %d", i)
		tenPings, tenPongs = tenPings+p.ping(payload), append(tenPongs, pongOf(payload))
	}
	cases = append(cases,
		conformance{"5.5.2", "ten pings at once", tenPings, 0, tenPongs, 0},
		conformance{"5.5.2", "ten pings, octet by octet", tenPings, 1, tenPongs, 0},
		conformance{"5.5.2", "binary octets in a ping", p.ping("\x00\xff\xfe\xfd\xfc\xfb\x00\xff"), 0, []wire{pongOf("\x00\xff\xfe\xfd\xfc\xfb\x00\xff")}, 0},
		conformance{"5.5.2", "a ping after a message", p.text("a") + p.ping("p"), 0, []wire{textOf("a"), pongOf("p")}, 0},
		conformance{"5.5.2", "a ping before a message", p.ping("p") + p.text("a"), 0, []wire{pongOf("p"), textOf("a")}, 0},
	)
	for _, op := range []byte{aPing, aPong, aClose} {
		for _, n := range []uint64{126, 65535} {
			long := p.headIn(final|op, 16, n)
			cases = append(cases,
				conformance{"5.5", fmt.Sprintf("opcode %d with %d octets", op, n), long, 0, nil, 1002},
				conformance{"5.5", fmt.Sprintf("opcode %d with %d octets, by the second octet", op, n), long[:2], 0, nil, 1002},
				conformance{"5.5", fmt.Sprintf("opcode %d with %d octets, octet by octet", op, n), long, 1, nil, 1002},
			)
		}
		short := p.headIn(final|op, 16, 5)
		cases = append(cases,
			conformance{"5.5", fmt.Sprintf("opcode %d with a length in 16 bits that needs 7", op), short, 0, nil, 1002},
			conformance{"5.5", fmt.Sprintf("opcode %d with a length in 64 bits, by the second octet", op), p.headIn(final|op, 64, 1<<16)[:2], 0, nil, 1002},
			conformance{"5.5", fmt.Sprintf("opcode %d in fragments, by the first octet", op), p.frame(op, "")[:1], 0, nil, 1002},
			conformance{"5.5", fmt.Sprintf("opcode %d in fragments", op), p.frame(op, "a") + p.frame(final, "b"), 0, nil, 1002},
			conformance{"5.5", fmt.Sprintf("opcode %d in fragments, between fragments", op), p.frame(aText, "a") + p.frame(op, "") + p.frame(final, "b"), 0, nil, 1002},
		)
	}
	return cases
}

// fragmentCases returns messages in several frames.
func fragmentCases(p peer) (cases []conformance) {
	part, last := func(s string) string { return p.frame(continuation, s) }, func(s string) string { return p.frame(final, s) }
	first := func(s string) string { return p.frame(aText, s) }
	for _, chop := range []int{0, 1} {
		in := func(name string) string { return fmt.Sprintf("%s, in writes of %d", name, chop) }
		cases = append(cases,
			conformance{"5.4", in("two fragments"), first("one") + last("two"), chop, []wire{textOf("onetwo")}, 0},
			conformance{"5.4", in("three fragments"), first("one") + part("two") + last("three"), chop, []wire{textOf("onetwothree")}, 0},
			conformance{"5.4", in("two fragments of a binary message"), p.frame(aBinary, "\xfe") + last("\xff"), chop, []wire{binaryOf("\xfe\xff")}, 0},
			conformance{"5.4", in("fragments of nothing"), first("") + part("") + last(""), chop, []wire{textOf("")}, 0},
			conformance{"5.4", in("nothing, then something"), first("") + part("") + last("end"), chop, []wire{textOf("end")}, 0},
			conformance{"5.4", in("something, then nothing"), first("begin") + part("") + last(""), chop, []wire{textOf("begin")}, 0},
			conformance{"5.4", in("two messages in fragments"), first("a") + last("b") + p.frame(aBinary, "c") + last("d"), chop, []wire{textOf("ab"), binaryOf("cd")}, 0},
			conformance{"5.4", in("a ping between fragments"), first("a") + p.ping("p") + last("b"), chop, []wire{pongOf("p"), textOf("ab")}, 0},
			conformance{"5.4", in("pings between all fragments"), first("a") + p.ping("1") + part("b") + p.ping("2") + part("c") + p.ping("3") + last("d"), chop, []wire{pongOf("1"), pongOf("2"), pongOf("3"), textOf("abcd")}, 0},
			conformance{"5.4", in("a pong between fragments"), first("a") + p.frame(final|aPong, "p") + last("b"), chop, []wire{textOf("ab")}, 0},
			conformance{"5.4", in("a ping before the last fragment's payload"), first("a") + p.ping("") + last("b") + p.ping("q"), chop, []wire{pongOf(""), textOf("ab"), pongOf("q")}, 0},
			conformance{"5.4", in("the peer closes between fragments"), first("a") + p.close(1000, "enough"), chop, []wire{closeOf(1000, "enough")}, 0},
			conformance{"5.4", in("a continuation of nothing"), last("a") + p.text("b"), chop, nil, 1002},
			conformance{"5.4", in("a continuation of nothing that is not final"), part("a") + last("b"), chop, nil, 1002},
			conformance{"5.4", in("a continuation of nothing and of no octets"), last(""), chop, nil, 1002},
			conformance{"5.4", in("a continuation after the end"), first("a") + last("b") + last("c"), chop, []wire{textOf("ab")}, 1002},
			conformance{"5.4", in("a continuation after a message"), p.text("a") + part("b"), chop, []wire{textOf("a")}, 1002},
			conformance{"5.4", in("a continuation after the end, then a good message"), first("a") + last("b") + part("c") + last("d") + p.text("e"), chop, []wire{textOf("ab")}, 1002},
			conformance{"5.4", in("a message among the fragments of another"), first("a") + p.text("b"), chop, nil, 1002},
			conformance{"5.4", in("a binary message among the fragments of a text"), first("a") + p.binary("b") + last("c"), chop, nil, 1002},
			conformance{"5.4", in("fragments among fragments"), first("a") + first("b") + last("c") + last("d"), chop, nil, 1002},
			conformance{"5.4", in("fragments of another kind among fragments, after a ping"), first("a") + p.ping("p") + p.frame(aBinary, "b"), chop, []wire{pongOf("p")}, 1002},
		)
	}
	long := repeat("fragments ", 300)
	return append(cases,
		conformance{"5.4", "a continuation of nothing, by its first octet", last("a")[:1], 0, nil, 1002},
		conformance{"5.4", "a message among fragments, by its first octet", first("a") + p.text("b")[:1], 0, nil, 1002},
		conformance{"5.4", "a fragment for each octet", p.parts(aText, long, 1), 0, []wire{textOf(long)}, 0},
		conformance{"5.4", "a fragment for each octet, in writes of 3", p.parts(aBinary, long, 1), 3, []wire{binaryOf(long)}, 0},
	)
}
