package hubtypes_test

import (
	"bytes"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/internal/hubtypes"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// messagePack is JSON under the name of the other protocol: hub.TypeScript looks at the name.
type messagePack struct{ hub.Protocol }

func (messagePack) Name() string { return "messagepack" }

// What hub.TypeScript writes for each type is what the table in docs/signalr.md says, and what the JavaScript client gets.
func TestTypeScript(t *testing.T) {
	for _, p := range []hub.Protocol{hub.JSON(), messagePack{hub.JSON()}} {
		for _, row := range hubtypes.Rows() {
			t.Run(p.Name()+"/"+row.Name, func(t *testing.T) {
				f := reflect.FuncOf([]reflect.Type{row.Type()}, nil, false)
				h, err := hub.New(hub.Methods{
					"Take": reflect.MakeFunc(f, func([]reflect.Value) []reflect.Value { return nil }).Interface(),
				}, hub.Options{Protocols: []hub.Protocol{p}})
				require.NoError(t, err)
				var b bytes.Buffer
				err = hub.TypeScript(&b, h)
				want := row.JSON
				if p.Name() == "messagepack" {
					want = row.MessagePack
					if row.NoJavaScript {
						require.ErrorContains(t, err, "cannot be described")
						return
					}
				}
				require.NoError(t, err)
				got := regexp.MustCompile(`(?m)^  Take: \(arg1: (.*)\) => void;$`).FindStringSubmatch(b.String())
				require.NotNil(t, got, b.String())
				for _, alias := range regexp.MustCompile(`(?m)^export type (\w+) = (.*);$`).FindAllStringSubmatch(b.String(), -1) {
					got[1] = regexp.MustCompile(`\b`+alias[1]+`\b`).ReplaceAllString(got[1], alias[2])
				}
				// The type has more than one value: a nil slice of bytes, and numbers of all sizes.
				require.Subset(t, strings.Split(got[1], " | "), strings.Split(want, " | "), "hub.TypeScript has %s", got[1])
				if want != "unknown" {
					require.NotContains(t, got[1], "unknown")
				}
			})
		}
	}
}
