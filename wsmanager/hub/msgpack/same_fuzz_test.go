package msgpack_test

import (
	"reflect"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// differs matches numbers that MessagePack does not have: the integer -0, and those with too many digits, which are texts.
var differs = regexp.MustCompile(`-0|[0-9.]{16}|[eE]`)

// FuzzSameAsJSON: a value of JSON that both protocols decode has the same Go value in both.
func FuzzSameAsJSON(f *testing.F) {
	for _, seed := range []string{
		`{"name":"n","QUOTED":"5","single":0.1,"id":"01020304","level":"!!","addr":"10.1.2.3","raw":{"b":[1.5,null]},"big":12,"number":7}`,
		`{"levels":{"!":"one"},"counts":{"-1":"x"},"texts":{"t":[true],"":null},"pair":[1],"own":[1,2],"owns":[[3,4]],"any":{"n":[1,-0,9007199254740993,1.10]}}`,
		`{"deep":1,"Plain":2,"more":"m","Deep":"d","unknown":{},"pair":null,"zero":null}`, `[1,2,3]`, `{"a":[],"A":{}}`, `"x"`, `null`, `5`, `1e2`, `"\ud83d"`,
	} {
		f.Add([]byte(seed))
	}
	types := []reflect.Type{
		reflect.TypeFor[everything](), reflect.TypeFor[any](), reflect.TypeFor[[]int8](), reflect.TypeFor[[2]any](), reflect.TypeFor[map[string]any](),
		reflect.TypeFor[map[int8]*inner](), reflect.TypeFor[string](), reflect.TypeFor[*float32](), reflect.TypeFor[uint16](), reflect.TypeFor[level](),
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		var raw hub.Raw
		if differs.Match(p) || hub.JSON().Decode(p, &raw) != nil {
			return
		}
		wire, err := protocol.Encode(raw)
		if err != nil {
			return
		}
		for _, typ := range types {
			fromJSON, fromMessagePack := reflect.New(typ), reflect.New(typ)
			if hub.JSON().Decode(p, fromJSON.Interface()) != nil || protocol.Decode(wire, fromMessagePack.Interface()) != nil {
				continue
			}
			for _, v := range []reflect.Value{fromJSON, fromMessagePack} {
				if all, ok := v.Interface().(*everything); ok {
					all.Raw, all.Number = nil, "" // a number may be written in another way: 2.0 and 2
				}
			}
			want, err := hub.JSON().Encode(fromJSON.Interface())
			require.NoError(t, err)
			got, err := hub.JSON().Encode(fromMessagePack.Interface())
			require.NoError(t, err)
			require.Equal(t, string(want), string(got), "%v", typ)
		}
	})
}
