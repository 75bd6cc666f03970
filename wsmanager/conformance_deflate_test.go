package wsmanager_test

// The examples of RFC 7692, section 7.2.3. Each of them contains "Hello".
const (
	helloOneBlock    = "\xf2\x48\xcd\xc9\xc9\x07\x00"
	helloStored      = "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"
	helloFinal       = "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"
	helloTwoBlocks   = "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"
	helloTakesOver   = "\xf2\x00\x11\x00\x00" // refers to the previous message
	deflateOfNothing = "\x00"
)

// deflateCases returns the compressed messages of RFC 7692 that differ from plain ones.
// compress_test.go covers sizes, kinds of data and offers; inflate_test.go covers payloads.
func deflateCases(p peer) (cases []conformance) {
	const rsv1 = 0x40
	zip := func(payload string) string { return p.frame(final|rsv1|aText, payload) }
	hello := []wire{textOf("Hello")}
	for name, payload := range map[string]string{
		"7.2.3.1 one block": helloOneBlock, "7.2.3.3 no compression": helloStored,
		"7.2.3.4 a final block": helloFinal, "7.2.3.5 two blocks": helloTwoBlocks,
	} {
		for _, chop := range []int{0, 1} {
			cases = append(cases,
				conformance{"RFC 7692,", name, zip(payload), chop, hello, 0},
				conformance{"RFC 7692,", name + " in fragments of 1", p.frame(rsv1|aText, payload[:1]) + p.parts(continuation, payload[1:], 1), chop, hello, 0},
				conformance{"RFC 7692,", name + " in a binary message", p.frame(final|rsv1|aBinary, payload), chop, []wire{binaryOf("Hello")}, 0},
			)
		}
	}
	return append(cases,
		conformance{"RFC 7692, 7.2.3.6", "nothing", zip(deflateOfNothing), 0, []wire{textOf("")}, 0},
		conformance{"RFC 7692, 6.1", "the first frame has no payload", p.frame(rsv1|aText, "") + p.frame(final, helloOneBlock), 0, hello, 0},
		conformance{"RFC 7692, 6.1", "the last frame has no payload", p.frame(rsv1|aText, helloOneBlock) + p.frame(final, ""), 0, hello, 0},
		conformance{"RFC 7692, 6", "plain among compressed", zip(helloOneBlock) + p.text("plain") + zip(helloStored), 0, []wire{hello[0], textOf("plain"), hello[0]}, 0},
		conformance{"RFC 7692, 6", "plain in fragments", p.frame(aText, "pl") + p.frame(final, "ain"), 0, []wire{textOf("plain")}, 0},
		conformance{"RFC 7692, 6.1", "a ping between fragments", p.frame(rsv1|aText, helloOneBlock[:3]) + p.ping("p") + p.frame(final, helloOneBlock[3:]), 0, []wire{pongOf("p"), hello[0]}, 0},
		conformance{"RFC 7692, 6.1", "the peer closes between fragments", p.frame(rsv1|aText, helloOneBlock[:3]) + p.close(1000, ""), 0, []wire{closeOf(1000, "")}, 0},
		conformance{"RFC 7692, 7.1.1.2", "a context that was to be given up", zip(helloOneBlock) + zip(helloTakesOver), 0, hello, 1007},
		conformance{"RFC 7692, 6.1", "RSV1 on a continuation", p.frame(rsv1|aText, helloOneBlock[:3]) + p.frame(final|rsv1, helloOneBlock[3:]), 0, nil, 1002},
		conformance{"RFC 7692, 6.1", "RSV1 on a continuation of a plain message", p.frame(aText, "a") + p.frame(final|rsv1, "b"), 0, nil, 1002},
		conformance{"RFC 7692, 6", "RSV1 on a ping, by the first octet", p.frame(final|rsv1|aPing, "")[:1], 0, nil, 1002},
		conformance{"RFC 7692, 6", "RSV1 on a pong", p.frame(final|rsv1|aPong, ""), 0, nil, 1002},
		conformance{"RFC 7692, 6", "RSV1 on a close frame", p.frame(final|rsv1|aClose, closing(1000, "")), 0, nil, 1002},
		conformance{"RFC 7692, 6", "RSV1 with RSV2", p.frame(final|rsv1|0x20|aText, helloOneBlock), 0, nil, 1002},
		conformance{"RFC 7692, 6", "RSV3 alone", p.frame(final|0x10|aText, helloOneBlock), 0, nil, 1002},
		conformance{"RFC 7692, 7.2.2", "no deflate", zip("\xff\xff\xff\xff"), 0, nil, 1007},
		conformance{"RFC 7692, 7.2.2", "no deflate, and a close frame behind it", zip("\xff\xff\xff\xff") + p.close(1000, ""), 0, nil, 1007},
		conformance{"RFC 7692, 7.2.2", "cut off", zip(helloStored[:6]), 0, nil, 1007},
		conformance{"8.1", "bad UTF-8 when inflated", zip("\x00\x02\x00\xfd\xff\xc3(\x00"), 0, nil, 1007},
		conformance{"8.1", "half a character when inflated", zip("\x00\x01\x00\xfe\xff\xc3\x00"), 0, nil, 1007},
		conformance{"5.6", "the same in a binary message", p.frame(final|rsv1|aBinary, "\x00\x01\x00\xfe\xff\xc3\x00"), 0, []wire{binaryOf("\xc3")}, 0},
		conformance{"10.4", "longer on the wire than it can be, by the header", p.head(final|rsv1|aText, 2*conformanceLimit), 0, nil, 1009},
	)
}
