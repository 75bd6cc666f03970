package msgpack_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/msgpack"
)

// With this protocol alone, the names in TypeScript are those that it sends. Beside JSON they are those of JSON.
func TestTypeScriptNames(t *testing.T) {
	type person struct {
		FirstName string `json:"firstName"`
		Age       int    `json:"age,omitempty" msgpack:"years"`
	}
	type pair struct {
		_msgpack struct{} `msgpack:",as_array"` //nolint:unused // the package looks for it
		A, B     int
	}
	methods := hub.Methods{"Greet": func(person, pair) {}}
	pascal := msgpack.New(msgpack.Options{Name: msgpack.PascalCase})
	for _, tt := range []struct {
		name      string
		protocols []hub.Protocol
		want      string
	}{
		{"alone", []hub.Protocol{msgpack.New(msgpack.Options{})}, "{\n  firstName: string;\n  years: number;\n}"},
		{"with other names", []hub.Protocol{pascal}, "{\n  FirstName: string;\n  years: number;\n}"},
		{"without tags", []hub.Protocol{msgpack.New(msgpack.Options{Tag: "-"})}, "{\n  FirstName: string;\n  years: number;\n}"},
		{"beside JSON", []hub.Protocol{hub.JSON(), pascal}, "{\n  firstName: string;\n  age?: number;\n}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, err := hub.New(methods, hub.Options{Protocols: tt.protocols})
			require.NoError(t, err)
			var b bytes.Buffer
			require.NoError(t, hub.TypeScript(&b, h))
			require.Contains(t, b.String(), "export interface Person "+tt.want)
			require.Contains(t, b.String(), "Greet: (arg1: Person, arg2: unknown) => void;")
		})
	}
}
