package hub

import (
	"errors"
	"reflect"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/jsonsize"
)

// DecodedSizer is a [Protocol] that knows how much memory a value will take. Without it, Options.MaxPendingBytes counts the
// encoded bytes of arguments and items only.
type DecodedSizer interface {
	// DecodedSize estimates how many bytes of memory raw takes when it is decoded into a variable of type t, besides the
	// variable and raw. It may return 0 if they are few. Decode would fail with [ErrValueTooLarge] where the number is too
	// high for the length of raw.
	DecodedSize(raw Raw, t reflect.Type) int
}

// ErrValueTooLarge is in the chain of [Protocol.Decode]'s error for a value that would take far more memory than its length
// justifies, for example an array of many empty objects for a slice of large structs. A value may take 64 times its length
// and 1 MiB.
var ErrValueTooLarge = errors.New("hub: the value would take too much memory for its length")

// Limits of the memory of a decoded value; see ErrValueTooLarge.
const (
	decodedFactor = 64
	decodedExcess = 1 << 20
	decodedFew    = 4 << 10 // is not worth the work of an estimate
)

func decodedLimit(raw Raw) int { return decodedFactor*len(raw) + decodedExcess }

// DecodedSize implements DecodedSizer.
func (jsonProtocol) DecodedSize(raw Raw, t reflect.Type) int {
	if jsonsize.Factor(t)*len(raw) <= decodedFew {
		return 0
	}
	return jsonsize.Size(raw, t, decodedLimit(raw))
}

// checkDecodedSize returns ErrValueTooLarge if decoding raw into what v points to would take too much memory.
func (jsonProtocol) checkDecodedSize(raw Raw, v any) error {
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Pointer {
		return nil // Unmarshal returns an error
	}
	limit := decodedLimit(raw)
	if jsonsize.Factor(t.Elem())*len(raw) <= limit || jsonsize.Size(raw, t.Elem(), limit) <= limit {
		return nil
	}
	return ErrValueTooLarge
}

// decodedSize is how many bytes of memory the arguments of a call will take.
func (k *call) decodedSize() (n int) {
	p, ok := k.c.session.protocol.(DecodedSizer)
	if !ok {
		return 0
	}
	arguments := k.inv.Arguments
	for i := range k.method.params {
		if m := &k.method.params[i]; m.stream == noStream {
			n += p.DecodedSize(arguments[0], m.typ)
			arguments = arguments[1:]
		}
	}
	return n
}

// decodedItemSize is how many bytes of memory an item of the upload will take.
func (u *upload) decodedItemSize(raw Raw) int {
	if p, ok := u.call.c.session.protocol.(DecodedSizer); ok && len(raw) > 0 {
		return p.DecodedSize(raw, u.item)
	}
	return 0
}
