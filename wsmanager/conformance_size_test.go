package wsmanager_test

import "fmt"

const conformanceLimit = 1000

// limitCases returns messages around a limit of 1000 octets. The header is enough to detect
// a message above the limit.
func limitCases(p peer) []conformance {
	at, above := repeat("x", conformanceLimit), repeat("x", conformanceLimit+1)
	return []conformance{
		{"10.4", "at the limit", p.text(at), 0, []wire{textOf(at)}, 0},
		{"10.4", "at the limit, octet by octet", p.binary(at), 1, []wire{binaryOf(at)}, 0},
		{"10.4", "at the limit in fragments", p.parts(aText, at, 100), 0, []wire{textOf(at)}, 0},
		{"10.4", "at the limit, then an empty fragment", p.frame(aText, at) + p.frame(final, ""), 0, []wire{textOf(at)}, 0},
		{"10.4", "at the limit, with pings between", p.frame(aText, at[1:]) + p.ping(repeat("p", 125)) + p.frame(final, "x"), 0, []wire{pongOf(repeat("p", 125)), textOf(at)}, 0},
		{"10.4", "above, by the header", p.head(final|aText, conformanceLimit+1), 0, nil, 1009},
		{"10.4", "above, whole", p.binary(above), 0, nil, 1009},
		{"10.4", "above, octet by octet", p.binary(above), 1, nil, 1009},
		{"10.4", "above by a fragment's header", p.frame(aText, at) + p.head(continuation, 1), 0, nil, 1009},
		{"10.4", "above in many fragments", p.parts(aBinary, repeat("x", 2*conformanceLimit), 10), 0, nil, 1009},
		{"10.4", "far above, by the header", p.head(final|aBinary, 1<<20), 0, nil, 1009},
		{"10.4", "2^31, by the header", p.headIn(final|aBinary, 64, 1<<31), 0, nil, 1009},
		{"10.4", "2^32, by the header", p.headIn(final|aBinary, 64, 1<<32), 0, nil, 1009},
		{"10.4", "2^63-1, by the header", p.headIn(final|aBinary, 64, 1<<63-1), 0, nil, 1009},
		{"10.4", "2^63-1 for a fragment, by its header", p.frame(aBinary, "x") + p.headIn(continuation, 64, 1<<63-1), 0, nil, 1009},
		{"10.4", "a good one after one at the limit", p.text(at) + p.text("next"), 0, []wire{textOf(at), textOf("next")}, 0},
		{"10.4", "bad in two ways: the frame counts", p.head(0x40|final|aText, conformanceLimit+1), 0, nil, 1002},
	}
}

// sizeCases returns big messages: unfragmented, in fragments, in small writes, and in many
// small fragments.
func sizeCases(p peer) (cases []conformance) {
	const size = 16 << 20 // the biggest message that this group allows
	big := repeat("All work and no play makes Jack a dull boy; κόσμε. ", size/52+1)
	kinds := []struct {
		name string
		op   byte
		want func(string) wire
	}{{"text", aText, textOf}, {"binary", aBinary, binaryOf}}
	add := func(kind, size, fragment, chop int) {
		k := kinds[kind]
		payload := big[:size]
		for k.op == aText && payload[len(payload)-1] >= 0x80 {
			payload = payload[:len(payload)-1] // remove the first octet of a character that was cut
		}
		send := p.frame(final|k.op, payload)
		if fragment > 0 {
			send = p.parts(k.op, payload, fragment)
		}
		cases = append(cases, conformance{"5.2", fmt.Sprintf("%s of %d KiB in fragments of %d, in writes of %d", k.name, size>>10, fragment, chop), send, chop, []wire{k.want(payload)}, 0})
	}
	whole, fragments, chops := []int{64 << 10, 256 << 10, 1 << 20}, []int{64, 4 << 10, 256 << 10}, []int{128, 2 << 10}
	base := 256 << 10
	if allConformance {
		whole = append(whole, 4<<20, 8<<20, 16<<20)
		fragments = []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20}
		chops = []int{64, 128, 256, 512, 1 << 10, 2 << 10}
		base = 4 << 20
	}
	for kind := range kinds {
		for _, size := range whole {
			add(kind, size, 0, 0)
		}
		for _, size := range fragments {
			add(kind, base, size, 0)
		}
		for _, size := range chops {
			add(kind, min(base, 1<<20), 0, size)
			add(kind, min(base, 1<<20), 1300, size)
		}
		counts, many := []int{0, 125, 4096}, 100
		if allConformance {
			counts, many = []int{0, 16, 64, 125, 126, 256, 1024, 4096, 16384, 65536}, 1000
		}
		for _, size := range counts {
			k := kinds[kind]
			payload := repeat("x", size)
			tt := conformance{"5.2", fmt.Sprintf("%d times %s of %d", many, k.name, size), "", 0, nil, 0}
			for range many {
				tt.want = append(tt.want, k.want(payload))
			}
			tt.send = repeat(p.frame(final|k.op, payload), many)
			cases = append(cases, tt)
		}
	}
	if !allConformance {
		add(1, 4<<20, 0, 0)
	}
	return append(cases, conformance{"10.4", "above 16 MiB, by the header", p.head(final|aBinary, size+1), 0, nil, 1009})
}
