package hub_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// The memory of a decoded value is bounded by its length, whatever the type. Usual values never meet the limit.
func TestDecodedMemoryIsBounded(t *testing.T) {
	type embedded struct{ *block }
	type list struct {
		Next *list
		Pad  [8192]byte
	}
	type address struct{ Street, City, Zip, Country string }
	type order struct {
		ID       int64             `json:"id"`
		Customer string            `json:"customer"`
		Billing  address           `json:"billing"`
		Shipping *address          `json:"shipping"`
		Labels   map[string]string `json:"labels"`
		Lines    []struct {
			Article string  `json:"article"`
			Count   int     `json:"count"`
			Price   float64 `json:"price"`
			Notes   []string
		} `json:"lines"`
		At   time.Time `json:"at"`
		Hash [32]byte  `json:"hash"`
		More any       `json:"more"`
	}
	const realistic = `{"id":1,"customer":"c","billing":{"Street":"s","City":"c"},"shipping":{},"labels":{"a":"b"},"lines":[{"article":"a","count":1},{"article":"b","count":2}],"more":{"a":[1,{}]}}`
	members := func(n int, value string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"%x":%s`, i, value)
		}
		return "{" + b.String()[1:] + "}"
	}
	const n = 10_000
	for name, row := range map[string]struct {
		raw    string
		target any
		fits   bool
	}{
		"empty objects":             {blocks(n, "{}"), new([]block), false},
		"zeros":                     {blocks(n, "0"), new([]block), false},
		"null":                      {blocks(n, "null"), new([]block), false},
		"spaces":                    {" [ " + strings.Repeat("{ } , ", n) + "{}]", new([]block), false},
		"objects by pointer":        {blocks(n, "{}"), new([]*block), false},
		"zeros by pointer":          {blocks(n, "0"), new([]**block), false},
		"null pointers":             {blocks(n, "null"), new([]*block), true},
		"arrays":                    {blocks(n, "[]"), new([][2000]byte), false},
		"arrays of pointers":        {blocks(n, "[{}]"), new([][1]*block), false},
		"pointer fields":            {blocks(n, `{"Next":{}}`), new([]struct{ Next *block }), false},
		"pointer fields, folded":    {blocks(n, `{"neXt":{}}`), new([]struct{ Next *block }), false},
		"pointer fields, escaped":   {blocks(n, `{"\u004eext":{}}`), new([]struct{ Next *block }), false},
		"embedded pointers":         {blocks(n, `{"Parts":0}`), new([]embedded), false},
		"a nested list":             {strings.Repeat(`{"Next":`, 3000) + "null" + strings.Repeat("}", 3000), new(list), false},
		"nested slices":             {blocks(n/2, "[{}]"), new([][]block), false},
		"a slice in a field":        {`{"Parts":` + blocks(n, "{}") + "}", new(block), false},
		"values of maps":            {members(n/2, "{}"), new(map[string]block), false},
		"values of maps by pointer": {members(n/2, "0"), new(map[string]*block), false},
		"keys of maps":              {members(n/2, "{}"), new(map[int]block), false},
		"empty structs":             {blocks(n, "{}"), new([]struct{}), true},
		"numbers":                   {blocks(n, "0"), new([]int), true},
		"texts":                     {blocks(n, `""`), new([]string), true},
		"anything":                  {blocks(n, `{"":0}`), new(any), true},
		"slices of anything":        {blocks(n, `[]`), new([]any), true},
		"maps":                      {blocks(n, `{"":0}`), new([]map[string]int), true},
		"few empty objects":         {blocks(200, "{}"), new([]block), true},
		"small structs":             {blocks(n, "{}"), new([]struct{ A, B string }), true},
		"orders":                    {blocks(1000, realistic), new([]order), true},
		"short orders":              {blocks(2000, `{"id":1,"customer":"c"}`), new([]order), true},
		"orders by id":              {members(1000, realistic), new(map[string]*order), true},
		"own decoding":              {blocks(n, "{}"), new([]json.RawMessage), true},
		"times":                     {blocks(n, "null"), new([]time.Time), true},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := hub.JSON().Decode(hub.Raw(row.raw), row.target)
			runtime.ReadMemStats(&after)
			if row.fits {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, hub.ErrValueTooLarge)
			limit := uint64(2 << 20) // names with escapes are decoded
			if raceEnabled {
				limit = 16 << 20 // the detector takes memory, too; the value would take 40 MB
			}
			require.Less(t, after.TotalAlloc-before.TotalAlloc, limit)
		})
	}
}

// A call with such an argument, and a stream with such an item, fails with a text that says why. The connection stays.
func TestTooLargeValuesFailTheirCall(t *testing.T) { onEachDriver(t, testTooLargeValuesFailTheirCall) }

func testTooLargeValuesFailTheirCall(t *testing.T) {
	_, url := serve(t, hub.Methods{
		"Count": func(blocks []block) int { return len(blocks) },
		"Sum": func(items iter.Seq2[[]block, error]) (n int, err error) {
			for blocks, err := range items {
				if err != nil {
					return n, err
				}
				n += len(blocks)
			}
			return n, nil
		},
		"Chan": func(items <-chan []block) (n int) {
			for blocks := range items {
				n += len(blocks)
			}
			return n
		},
	}, hub.Options{})
	p := connect(t, url)
	big := blocks(10_000, "{}")
	p.send(`{"type":1,"invocationId":"1","target":"Count","arguments":[` + big + `]}`)
	p.expect(`{"type":3,"invocationId":"1","error":"Failed to invoke 'Count' due to an error on the server. Argument 1 takes too much memory for its length."}`)
	p.send(`{"type":1,"invocationId":"1","target":"Count","arguments":[` + blocks(150, `{"Next":{}}`) + `]}`)
	p.expect(`{"type":3,"invocationId":"1","result":150}`)
	for _, method := range []string{"Sum", "Chan"} {
		stream := func(item string) {
			p.send(`{"type":1,"invocationId":"2","target":"`+method+`","arguments":[],"streamIds":["u"]}`, `{"type":2,"invocationId":"u","item":`+blocks(100, "{}")+`}`)
			p.send(`{"type":2,"invocationId":"u","item":`+item+`}`, `{"type":3,"invocationId":"u"}`)
		}
		stream(blocks(200, "{}"))
		p.expect(`{"type":3,"invocationId":"2","result":300}`)
		stream(big)
		p.expect(`{"type":3,"invocationId":"2","error":"Failed to invoke '` + method + `' due to an error on the server. An item of a stream takes too much memory for its length."}`)
	}
}

// Items that take much memory when they are decoded slow the client down, but they arrive.
func TestLargeItemsArrive(t *testing.T) { onEachDriver(t, testLargeItemsArrive) }

func testLargeItemsArrive(t *testing.T) {
	for _, kind := range []string{"Sum", "Chan"} {
		_, url := serve(t, hub.Methods{
			"Sum": func(items iter.Seq2[[]block, error]) (n int, err error) {
				for blocks, err := range items {
					if err != nil {
						return n, err
					}
					n += len(blocks)
				}
				return n, nil
			},
			"Chan": func(items <-chan []block) (n int) {
				for blocks := range items {
					n += len(blocks)
				}
				return n
			},
			"Count": func(blocks []block) int { return len(blocks) },
		}, hub.Options{MaxPendingBytes: 100_000})
		p := connect(t, url)
		p.send(`{"type":1,"invocationId":"1","target":"` + kind + `","arguments":[],"streamIds":["u"]}`)
		for range 50 {
			p.send(`{"type":2,"invocationId":"u","item":` + blocks(100, "{}") + `}`)
			p.send(`{"type":1,"invocationId":"2","target":"Count","arguments":[` + blocks(100, "{}") + `]}`)
			p.expect(`{"type":3,"invocationId":"2","result":100}`)
		}
		p.send(`{"type":3,"invocationId":"u"}`)
		p.expect(`{"type":3,"invocationId":"1","result":5000}`)
	}
}
