package dotnet

import "github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"

// BoolKey is the key of a map that is a Dictionary<bool, T> in .NET: "True" or "False" in JSON, and a boolean in MessagePack.
// Only .NET clients can read such a map in MessagePack.
type BoolKey bool

// MarshalText returns "True" or "False".
func (b BoolKey) MarshalText() ([]byte, error) {
	if b {
		return []byte("True"), nil
	}
	return []byte("False"), nil
}

// UnmarshalText parses "True", "true", "False" and "false".
func (b *BoolKey) UnmarshalText(text []byte) error {
	switch string(text) {
	case "True", "true":
		*b = true
	case "False", "false":
		*b = false
	default:
		return wrong("bool", `"True" or "False"`, string(text))
	}
	return nil
}

// MarshalMsgpack returns a boolean.
func (b BoolKey) MarshalMsgpack() ([]byte, error) { return mpack.AppendBool(nil, bool(b)), nil }

// UnmarshalMsgpack reads a boolean.
func (b *BoolKey) UnmarshalMsgpack(p []byte) error {
	h, _, err := whole(p, "bool", "true or false", mpack.Bool)
	if err == nil {
		*b = h.N == 1
	}
	return err
}

// EnumKey is the key of a map that is a Dictionary with an enum as its key in .NET: the name in both protocols, or the number
// as a text if it has no name.
type EnumKey[T Named[T]] struct{ Value T }

// String returns the name, or the number if it has none.
func (e EnumKey[T]) String() string { return Enum[T](e).String() }

// MarshalText returns the text of String.
func (e EnumKey[T]) MarshalText() ([]byte, error) { return Enum[T](e).MarshalText() }

// UnmarshalText parses the text; see [Enum.UnmarshalText].
func (e *EnumKey[T]) UnmarshalText(text []byte) error { return (*Enum[T])(e).UnmarshalText(text) }

// MarshalMsgpack returns the text of String.
func (e EnumKey[T]) MarshalMsgpack() ([]byte, error) { return Enum[T](e).MarshalMsgpack() }

// UnmarshalMsgpack reads a text.
func (e *EnumKey[T]) UnmarshalMsgpack(p []byte) error { return (*Enum[T])(e).UnmarshalMsgpack(p) }
