package dotnet

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/speakingtube/speakingtube/wsmanager/hub/internal/mpack"
)

// wrong is the error for a value in another form than the type has.
func wrong(typ, form string, got any) error {
	text := fmt.Sprint(got)
	if len(text) > 40 {
		text = text[:40] + "…"
	}
	return fmt.Errorf("dotnet: %q is not a %s: %s is needed", text, typ, form)
}

func isNull(p []byte) bool { return string(p) == "null" }

// jsonText returns the text of a JSON string.
func jsonText(p []byte, typ, form string) (string, error) {
	if p = bytes.TrimSpace(p); len(p) == 0 || p[0] != '"' {
		return "", wrong(typ, form, string(p))
	}
	var s string
	err := json.Unmarshal(p, &s)
	return s, err
}

func quoted(text string, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return []byte(`"` + text + `"`), nil // the texts of these types need no escapes
}

// whole reads the header of a value that must be all of p, of one of the kinds.
func whole(p []byte, typ, form string, kinds ...mpack.Kind) (h mpack.Header, content []byte, err error) {
	h, content, err = mpack.Read(p)
	if err != nil {
		return h, nil, err
	}
	for _, k := range kinds {
		if h.Kind == k {
			if rest, err := mpack.Skip(p); err != nil || len(rest) > 0 {
				return h, nil, wrong(typ, form, "more than one value")
			}
			return h, content, nil
		}
	}
	return h, nil, wrong(typ, form, h.Kind)
}

// integer reads an integer of 64 bits. null leaves ok false.
func integer(p []byte, typ, form string) (i int64, ok bool, err error) {
	h, _, err := whole(p, typ, form, mpack.Int, mpack.Nil)
	switch {
	case err != nil || h.Kind == mpack.Nil:
		return 0, false, err
	case !h.Negative && h.N > 1<<63-1:
		return 0, false, wrong(typ, form, h.N)
	}
	return int64(h.N), true, nil
}
