package wsmanager

import "github.com/speakingtube/speakingtube/wsmanager/internal/broadcast"

// Variant is one of several formats of the messages to the connections of a Manager, for
// example JSON and MessagePack in a hub. The application gives each number its meaning.
// Without variants all connections have 0. A connection's variant is set once, by
// Accept.Variant or [Conn.Ready], before the first broadcast reaches it.
type Variant uint8

// MaxVariants is the number of variants: 0 to MaxVariants-1.
const MaxVariants = 8

var _ = [1]struct{}{}[MaxVariants-broadcast.Variants] // they are equal

func encodingOf(v Variant, deflate bool) broadcast.Encoding {
	return broadcast.EncodingOf(uint8(v), deflate)
}
