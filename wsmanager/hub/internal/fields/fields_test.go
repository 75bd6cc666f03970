package fields_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/fields"
)

type Deep struct {
	A, B int
	C    int `json:"c"`
}

type Other struct {
	B int
	D string `json:"d"`
}

type cycle struct {
	*cycle //nolint:unused // embedded for its fields
	N      int
}

type Text string

type tagged struct{ X int }

// The names are those that encoding/json writes, for each kind of struct.
func TestNamesOfEncodingJSON(t *testing.T) {
	for _, v := range []any{
		struct{}{}, Deep{}, Other{}, cycle{},
		struct {
			Deep
			*Other
			A string
		}{Other: &Other{}},
		struct {
			Deep
			Other
		}{},
		struct {
			Deep `json:"deep"`
			E    int `json:"-"`
			F    int `json:"-,"` //nolint:staticcheck // the name is "-"
			G    int `json:",omitzero"`
			I    int `json:"i i"`
			j    int
		}{},
		struct {
			Text
			tagged
			B int `json:"X"`
		}{},
		reflect.New(reflect.StructOf([]reflect.StructField{ // two fields with one name, which vet refuses in a literal
			{Name: "A", Type: reflect.TypeFor[int](), Tag: `json:"x"`},
			{Name: "X", Type: reflect.TypeFor[int](), Tag: `json:"x"`},
			{Name: "Y", Type: reflect.TypeFor[int]()},
		})).Elem().Interface(),
	} {
		text, err := json.Marshal(v)
		require.NoError(t, err)
		var members map[string]any
		require.NoError(t, json.Unmarshal(text, &members))
		want := slices.Sorted(maps.Keys(members))
		var got []string
		zero := 0
		for _, f := range fields.Of(reflect.TypeOf(v), "json") {
			if f.OmitZero {
				zero++
				continue
			}
			got = append(got, f.Name)
		}
		slices.Sort(got)
		require.Equal(t, want, got, "%T", v)
	}
}

// The first tag of a field counts, and a name in another case is the same name.
func TestTagsAndCase(t *testing.T) {
	list := fields.Of(reflect.TypeFor[struct {
		A int `json:"a,omitempty" msgpack:"B"`
		C int `json:"c,string"`
		D int `msgpack:"-" json:"d"`
		E []int
	}](), "msgpack", "json")
	require.Len(t, list, 3)
	require.Equal(t, "B", list[0].Name)
	require.Equal(t, "msgpack", list[0].Tag)
	require.False(t, list[0].OmitEmpty, "options are those of the tag that counts")
	require.True(t, list[1].Quoted)
	require.Equal(t, fields.Field{Name: "E", Index: []int{3}, Type: reflect.TypeFor[[]int]()}, list[2])
	for _, same := range [][2]string{{"firstName", "FIRSTname"}, {"ÄÖ", "äö"}, {"K", "k"}, {"ſ", "s"}} {
		require.Equal(t, fields.Fold([]byte(same[0])), fields.Fold([]byte(same[1])))
	}
	require.NotEqual(t, fields.Fold([]byte("a")), fields.Fold([]byte("b")))
}
