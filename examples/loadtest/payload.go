package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"time"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// stamp identifies a message to its receiver.
type stamp struct {
	sender   uint32
	sequence uint64        // from 0 without gaps
	due      time.Duration // since the beginning of the load
}

// The bytes of a stamp: mark, run, sender, sequence, due, and a checksum of everything else
// in the message.
const (
	mark       = "load"
	stampBytes = len(mark) + 8 + 4 + 8 + 8 + checksumBytes

	checksumBytes = 4
)

// kind is the form of messages.
type kind string

const (
	kindRandom kind = "random" // binary, can't be compressed
	kindJSON   kind = "json"   // text, compresses like that of an API
)

// The first member of a JSON message is its stamp in hexadecimal.
const (
	jsonBefore = `{"id":"`
	jsonAfter  = `",`
)

// minSize returns the smallest length of a message.
func (k kind) minSize() int {
	if k == kindJSON {
		return len(jsonBefore) + 2*stampBytes + len(jsonAfter) + len(leastJSON)
	}
	return stampBytes
}

// codec encodes and decodes the messages of one run.
type codec struct {
	kind    kind
	size    int
	run     uint64   // distinguishes the messages of this run
	fillers [][]byte // rest of a message after the stamp; message n has number n modulo their count
}

// newCodec prepares messages of size bytes, at least minSize of the kind. Their contents are
// the same in every run, except for the stamp.
func newCodec(k kind, size int, run uint64) *codec {
	c := &codec{kind: k, size: size, run: run}
	r := rand.New(rand.NewPCG(1, uint64(size)))
	rest := size - stampBytes
	if k == kindJSON {
		rest = size - len(jsonBefore) - 2*stampBytes - len(jsonAfter)
	}
	for range 16 {
		c.fillers = append(c.fillers, filler(k, rest, r))
	}
	return c
}

func filler(k kind, size int, r *rand.Rand) []byte {
	if k == kindJSON {
		return fillJSON(size, r)
	}
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

func (c *codec) messageType() wsmanager.MessageType {
	if c.kind == kindJSON {
		return wsmanager.TextMessage
	}
	return wsmanager.BinaryMessage
}

// encode appends a message to dst.
func (c *codec) encode(dst []byte, s stamp) []byte {
	fill := c.fillers[s.sequence%uint64(len(c.fillers))]
	var b [stampBytes]byte
	p := append(b[:0], mark...)
	p = binary.BigEndian.AppendUint64(p, c.run)
	p = binary.BigEndian.AppendUint32(p, s.sender)
	p = binary.BigEndian.AppendUint64(p, s.sequence)
	p = binary.BigEndian.AppendUint64(p, uint64(s.due))
	p = binary.BigEndian.AppendUint32(p, checksum(p, fill))
	if c.kind == kindJSON {
		dst = append(dst, jsonBefore...)
		dst = hex.AppendEncode(dst, p)
		dst = append(dst, jsonAfter...)
	} else {
		dst = append(dst, p...)
	}
	return append(dst, fill...)
}

// fault is the reason for which a message can't be decoded.
type fault string

const (
	faultForeign   fault = "not of this run"
	faultCorrupted fault = "corrupted"
)

func (f fault) Error() string { return string(f) }

// decode decodes a message. A message without the mark and the run at their place is foreign.
// One that has them and is otherwise different from the encoded one is corrupted.
func (c *codec) decode(m wsmanager.Message) (stamp, error) {
	p := m.Payload
	var fill []byte
	var b [stampBytes]byte
	if c.kind == kindJSON {
		first := len(jsonBefore) + 2*stampBytes
		if len(p) < first+len(jsonAfter) || string(p[:len(jsonBefore)]) != jsonBefore {
			return stamp{}, faultForeign
		}
		if _, err := hex.Decode(b[:], p[len(jsonBefore):first]); err != nil {
			return stamp{}, faultForeign
		}
		if string(p[first:first+len(jsonAfter)]) != jsonAfter {
			return stamp{}, faultCorrupted
		}
		fill = p[first+len(jsonAfter):]
	} else {
		if len(p) < stampBytes {
			return stamp{}, faultForeign
		}
		copy(b[:], p)
		fill = p[stampBytes:]
	}
	rest := b[len(mark):]
	if string(b[:len(mark)]) != mark || binary.BigEndian.Uint64(rest) != c.run {
		return stamp{}, faultForeign
	}
	sum := binary.BigEndian.Uint32(b[stampBytes-checksumBytes:])
	if len(p) != c.size || m.Type != c.messageType() || sum != checksum(b[:stampBytes-checksumBytes], fill) {
		return stamp{}, faultCorrupted
	}
	return stamp{
		sender:   binary.BigEndian.Uint32(rest[8:]),
		sequence: binary.BigEndian.Uint64(rest[12:]),
		due:      time.Duration(binary.BigEndian.Uint64(rest[20:])),
	}, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(a, b []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, a), castagnoli, b)
}

// leastJSON is the shortest rest of a JSON message.
const leastJSON = `"note":""}`

// fillJSON returns the rest of a JSON object of size bytes: an order of a shop with as many
// items as fit, and a note that fills the remaining bytes.
func fillJSON(size int, r *rand.Rand) []byte {
	var p []byte
	add := func(s string) bool {
		if len(p)+len(s)+len(leastJSON) > size {
			return false
		}
		p = append(p, s...)
		return true
	}
	if add(fmt.Sprintf(`"type":"order.changed","version":%d,"customer":{"id":%d,"name":"%s %s","city":"%s"},"status":"%s",`,
		1+r.IntN(40), 100_000+r.IntN(900_000), pick(r, firstNames), pick(r, lastNames), pick(r, cities), pick(r, states))) {
		separator := `"items":[`
		for add(fmt.Sprintf(`%s{"sku":"%06X","title":"%s %s","quantity":%d,"price":%d.%02d,"inStock":%t}`+"],",
			separator, r.IntN(1<<24), pick(r, colours), pick(r, things), 1+r.IntN(9), 1+r.IntN(300), r.IntN(100), r.IntN(5) > 0)) {
			p = p[:len(p)-len("],")] // another item may follow
			separator = ","
		}
		if separator == "," {
			p = append(p, "],"...)
		}
	}
	p = append(p, `"note":"`...)
	for left := size - len(p) - len(`"}`); left > 0; left = size - len(p) - len(`"}`) {
		word := pick(r, things) + " "
		p = append(p, word[:min(left, len(word))]...)
	}
	return append(p, `"}`...)
}

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

var (
	firstNames = []string{"Ada", "Alan", "Barbara", "Claude", "Dennis", "Edsger", "Frances", "Grace", "Hedy", "John", "Katherine", "Leslie", "Margaret", "Niklaus", "Radia", "Tony"}
	lastNames  = []string{"Becker", "Costa", "Dubois", "Eriksen", "Fischer", "Garcia", "Horvat", "Ivanova", "Jansen", "Kowalski", "Lopez", "Moreau", "Novak", "Okafor", "Rossi", "Schmidt"}
	cities     = []string{"Amsterdam", "Bergen", "Berlin", "Dublin", "Ghent", "Lisbon", "Lyon", "Madrid", "Porto", "Prague", "Turin", "Vienna"}
	states     = []string{"created", "paid", "packed", "shipped", "delivered", "returned"}
	colours    = []string{"black", "blue", "brown", "green", "grey", "orange", "red", "violet", "white", "yellow"}
	things     = []string{"bell", "brass tube", "bridge lamp", "compass", "deck chair", "engine order", "fog horn", "hammock", "log book", "mouthpiece", "oil can", "pea coat", "rope", "sea chart", "sextant", "whistle"}
)
