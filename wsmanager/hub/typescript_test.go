package hub_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"image"
	"iter"
	"math/big"
	"net/mail"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

var updateGolden = flag.Bool("update", false, "write the golden files of TypeScript")

// Types for TypeScript that are unlike a plain struct.
type (
	Point   struct{ X, Y, Z float32 } // image.Point has the name, too
	Address struct{ Street string }   // and mail.Address this one
	address struct{ Hidden int }      // in TypeScript it would have the name of Address
	Date    struct{ Day int }         // a name that the module uses

	Tree   struct{ Children []*Tree }
	Forest []Forest
	Atlas  map[string]Atlas
	Loop   *Loop

	Page[T any] struct {
		Items []T  `json:"items"`
		Next  *int `json:"next"`
	}

	base struct {
		ID    int64 `json:"id"`
		Both  int
		Inner string `json:"outer"`
	}
	other   struct{ Both string }
	Pointed struct {
		Maybe bool `json:"maybe"`
	}
	Embeds struct {
		base
		other // Both of both exclude each other
		*Pointed
		Outer string `json:"outer"` // hides base.Inner
		Named Point  `json:"point"`
	}

	Level   int // with text: a string
	Opaque  struct{ secret int }
	Counted struct{ n int }

	Fields struct {
		Plain      string
		Renamed    int       `json:"re_named"`
		Odd        int       `json:"odd-name $"`
		Reserved   bool      `json:"class"`
		New        bool      `json:"new"`
		Skipped    int       `json:"-"`
		Omitted    []int     `json:"omitted,omitempty"`
		Zero       time.Time `json:"zero,omitzero"`
		Pointer    *Point    `json:"pointer"`
		Twice      **int     `json:"twice"`
		Absent     *Point    `json:"absent,omitempty"`
		AsText     int64     `json:"as_text,string"`
		Signed     int64     `json:"signed"`
		Unsigned   uint64    `json:"unsigned"`
		Small      int8      `json:"small"`
		Bytes      []byte    `json:"bytes"`
		Time       time.Time `json:"time"`
		Any        any       `json:"any"`
		Raw        json.RawMessage
		HubRaw     hub.Raw
		Number     json.Number
		Big        *big.Int
		Addr       netip.Addr
		Level      Level
		Opaque     Opaque
		Counted    []Counted
		Text       map[string]int
		Numbers    map[int]*Point
		Times      map[time.Time]bool
		Levels     map[Level][]string
		Pair       [2]string
		Many       [20]bool
		Nested     [][]*int
		Anonymous  struct{ A, B int }
		Array      []struct{ C string }
		unexported int
		Größe      float64
	}
)

func (l Level) MarshalText() ([]byte, error)                 { return []byte{'a' + byte(l)}, nil }
func (o Opaque) MarshalJSON() ([]byte, error)                { return json.Marshal(o.secret) }
func (c Counted) MarshalJSON() ([]byte, error)               { return json.Marshal([]int{c.n}) }
func (c Counted) TypeScript() (inJSON, inMessagePack string) { return "[number] | 0", "Date" }

func oddMethods() hub.Methods {
	return hub.Methods{
		"Fields":     func(Fields) Fields { return Fields{unexported: 1} },
		"embeds":     func(*hub.Context) (Embeds, error) { return Embeds{base: base{}, other: other{}}, nil },
		"new":        func() {},
		"delete it":  func(context.Context, string) error { return nil },
		"\u2028\"":   func() *Tree { return nil },
		"Points":     func(Point, image.Point, []image.Rectangle) {},
		"Addresses":  func(Address, *mail.Address, address, Date) {},
		"Pages":      func(Page[Point], Page[Page[image.Point]], *Page[[]int]) {},
		"Recursive":  func(Forest, Atlas, Loop) {},
		"Upload":     func(<-chan []Point, string, iter.Seq2[*int, error]) int { return 0 },
		"Uploads":    func(<-chan int, <-chan int) {},
		"Stream":     func() iter.Seq2[*Point, error] { return nil },
		"Sequence":   func(<-chan string) iter.Seq[string] { return nil },
		"Channel":    func(int) (<-chan map[string]any, error) { return nil, nil },
		"Everything": func(any) any { return nil },
	}
}

func oddEvents() []hub.Declaration {
	return []hub.Declaration{
		hub.NewEvent0("none"), hub.NewEvent[*Point]("one"), hub.NewEvent2[int, []Page[Point]]("two"), hub.NewEvent3[any, bool, Level]("three"),
		hub.NewClientMethod0[string]("ask"), hub.NewClientMethod[Point, *Point]("ask-1"),
		hub.NewClientMethod2[int, int, int]("ask2"), hub.NewClientMethod3[int, []byte, any, any]("ask3"),
	}
}

// namedProtocol is JSON under another name.
type namedProtocol struct {
	hub.Protocol
	name string
}

func (p namedProtocol) Name() string { return p.name }

// examples/hub compiles the golden files.
func TestTypeScript(t *testing.T) {
	inMessagePack := namedProtocol{hub.JSON(), "messagepack"}
	for _, tt := range []struct {
		golden    string
		protocols []hub.Protocol
	}{
		{"json.ts", nil},
		{"messagepack.ts", []hub.Protocol{inMessagePack}},
		{"both.ts", []hub.Protocol{hub.JSON(), inMessagePack}},
	} {
		t.Run(tt.golden, func(t *testing.T) {
			write := func() string {
				h, err := hub.New(oddMethods(), hub.Options{Protocols: tt.protocols, Events: oddEvents()})
				require.NoError(t, err)
				var b bytes.Buffer
				require.NoError(t, hub.TypeScript(&b, h))
				return b.String()
			}
			golden := filepath.Join("testdata", "typescript", tt.golden)
			got := write()
			if *updateGolden {
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), got, "go test -run TestTypeScript -update writes the file")
			for range 10 {
				require.Equal(t, got, write(), "the output is not the same each time")
			}
		})
	}
}

func TestTypeScriptOfNothing(t *testing.T) {
	h, err := hub.New(nil, hub.Options{})
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, hub.TypeScript(&b, h))
	require.Contains(t, b.String(), "export interface HubMethods {\n}\n")
}

// All types that cannot be described are reported, with the place where they are.
func TestTypeScriptErrors(t *testing.T) {
	type hidesAChannel struct{ Updates chan int }
	h, err := hub.New(hub.Methods{
		"Complex": func(complex128) {},
		"Struct":  func() []hidesAChannel { return nil },
		"Keys":    func(string, map[bool]int) {},
	}, hub.Options{})
	require.NoError(t, err)
	var b bytes.Buffer
	err = hub.TypeScript(&b, h)
	require.ErrorContains(t, err, `hub: TypeScript: HubMethods: argument 1 of "Complex": a complex128 cannot be described`)
	require.ErrorContains(t, err, `HubMethods: argument 2 of "Keys": a bool cannot be described`)
	require.ErrorContains(t, err, `hub_test.hidesAChannel: a chan int cannot be described`)
	require.Empty(t, b.String())

	h, err = hub.New(hub.Methods{"Add": func(a, b int) int { return a + b }}, hub.Options{})
	require.NoError(t, err)
	require.ErrorIs(t, hub.TypeScript(brokenWriter{}, h), errBroken)
}

var errBroken = errors.New("broken")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }
