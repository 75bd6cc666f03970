package jsonsize

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type large struct {
	Text [100]string
	N    int
}

type node struct {
	Next     *node
	Children []node
	Block    [1000]byte
}

type Base struct {
	Pad [500]byte
	ID  int
}

type Deep struct{ *Base }

type inner struct{ Hidden int }

type outer struct {
	*Base
	Deep  *Deep
	inner      // its exported fields count
	Named Base `json:"named"`
	Tag   int  `json:"ID"` // hides Base.ID
	Skip  int  `json:"-"`
	Text  *int `json:",string"`
}

type custom1 struct{ Block [4096]byte }

func (*custom1) UnmarshalJSON([]byte) error { return nil }

type self *self

var targets = []any{
	new(any), new([]any), new(map[string]any), new([]int), new([]string), new([]large), new([]*large), new([]**large), new([][1000]byte), new([8]*large),
	new(map[string]large), new(map[int]int), new([]map[string]string), new(node), new([]node), new(outer), new([]outer), new([]custom1), new([]*custom1),
	new([]struct{}), new([]time.Time), new(map[string]*large), new([][][]large), new([]struct{ P *large }), new([]json.RawMessage), new([]Deep),
	new(struct{ A, B, C []large }), new([]bool), new([][2]*large), new(string), new(int),
}

var values = []string{
	`null`, `0`, `-1.5e3`, `true`, `""`, `"text \" \\ é"`, `[]`, `{}`, `[0,0,0]`, ` [ {} , {} ] `, `[[],[[]],[{}]]`, `{"":0}`, `{"a":{},"b":[],"c":null}`,
	`{"Next":{"Next":{"next":{}}}}`, `{"Children":[{},{"Children":[{},{}]}]}`, `{"children":[0,0,null]}`, `[{"P":{}},{"p":0},{"P":null}]`,
	`{"ID":1,"pad":[1],"Deep":{"id":1},"Hidden":2,"named":{},"Text":"1"}`, `[{"ID":1,"pad":[1],"Deep":{"id":1}},{"Deep":{}}]`,
	`{"A":[{},{}],"\u0042":[{}],"c":[0]}`, `{"1":2,"2":{"N":1}}`, `[{"Text":["a","b"],"N":1},{"ſ":0}]`, `[["a"],["b",1],null,"x"]`,
}

// The estimate is not below what encoding/json keeps, also of JSON that does not match the type.
func TestSizeIsNotTooLow(t *testing.T) {
	inputs := append([]string(nil), values...)
	for _, element := range append([]string(nil), values...) {
		inputs = append(inputs, "["+strings.Repeat(element+",", 999)+element+"]")
		var members []string
		for i := range 300 {
			members = append(members, fmt.Sprintf(`"%x":%s`, i, element))
		}
		inputs = append(inputs, "{"+strings.Join(members, ",")+"}", `{"Children":[`+strings.Repeat(element+",", 300)+element+`]}`)
	}
	for _, target := range targets {
		typ := reflect.TypeOf(target).Elem()
		for _, in := range inputs {
			data := []byte(in)
			w := &walker{data: data, limit: math.MaxInt}
			w.value(typ)
			require.False(t, w.stop, "%v from %.100s", typ, in)
			require.Equal(t, len(strings.TrimRight(in, " ")), w.at, "%v from %.100s", typ, in)
			require.LessOrEqual(t, w.size, Factor(typ)*len(data)+2000, "%v from %.100s", typ, in) // the outermost value has no comma
			if len(in) < 1000 {
				continue // too little to measure
			}
			bound := int64(w.size + 2*len(data) + 64<<10) // the runtime allocates meanwhile
			v := reflect.New(typ)
			before := allocatedBytes()
			_ = json.Unmarshal(data, v.Interface()) // after a mismatch it goes on
			if allocatedBytes()-before <= bound {
				continue // without garbage it is even less
			}
			v = reflect.New(typ)
			before = heap()
			_ = json.Unmarshal(data, v.Interface()) // as above
			kept := heap() - before
			runtime.KeepAlive(v)
			require.LessOrEqual(t, kept, bound, "%v from %.100s", typ, in)
		}
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func allocatedBytes() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.TotalAlloc)
}

// It is not far above either: usual requests must not exceed limits that are made for attacks.
func TestSizeIsNotTooHigh(t *testing.T) {
	type order struct {
		ID       int64     `json:"id"`
		Customer string    `json:"customer"`
		Lines    []large   `json:"lines"`
		At       time.Time `json:"at"`
		Note     *string   `json:"note"`
		Billing  struct{ Street, City, Zip, Country string }
	}
	for in, target := range map[string]any{
		`[1,2,3,4,5,6,7,8]`: new([]int), `["a","b"]`: new([]string), `{"a":1,"b":[true]}`: new(any),
		`[{"id":1,"customer":"c","at":"2026-01-01T00:00:00Z","note":"n","Billing":{"Street":"s"}}]`: new([]order),
	} {
		size := Size([]byte(in), reflect.TypeOf(target).Elem(), math.MaxInt)
		require.LessOrEqual(t, size, 10*len(in)+600, in)
	}
}

// Size stops at the limit, and takes any type and any bytes.
func TestSizeOfAnything(t *testing.T) {
	zeros := []byte("[" + strings.Repeat("0,", 1000) + "0]")
	require.Greater(t, Size(zeros, reflect.TypeFor[[]large](), 10_000), 10_000)
	require.Less(t, Size(zeros, reflect.TypeFor[[]large](), 10_000), 20_000)
	var s self
	Size([]byte("1"), reflect.TypeOf(s), math.MaxInt)
	require.NotZero(t, Factor(reflect.TypeOf(s)))
	for _, in := range []string{"", "[", "{", `{"`, `{"a`, `{"a"`, `{"a":`, `[,`, `[}`, `{]`, `{"a" 1}`, `"\`, `[1 2`, `{"\x":1}`, "\xff", "[" + strings.Repeat("[", 20_000), `{1:2}`, `]`, `}`, `,`, `:`} {
		for _, target := range targets {
			Size([]byte(in), reflect.TypeOf(target).Elem(), math.MaxInt)
		}
	}
}

// Size walks through the whole of each valid value, and through no more.
func FuzzSize(f *testing.F) {
	for _, v := range values {
		f.Add([]byte(v))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, target := range targets {
			typ := reflect.TypeOf(target).Elem()
			w := &walker{data: data, limit: math.MaxInt}
			w.value(typ)
			if json.Valid(data) {
				require.False(t, w.stop)
				require.Equal(t, len(strings.TrimRight(string(data), " \t\r\n")), w.at)
				require.LessOrEqual(t, w.size, Factor(typ)*len(data)+2000)
			}
		}
	})
}
