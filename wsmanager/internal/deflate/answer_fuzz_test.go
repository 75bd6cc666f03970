package deflate

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// parsedExtension is one item of a list.
type parsedExtension struct {
	name   string
	params []extensionParam
}

func parseExtensions(list string) (out []parsedExtension, err error) {
	for name, params := range extensions(list, &err) {
		out = append(out, parsedExtension{name, params})
	}
	return out, err
}

// formatExtensions writes a list in its shortest form.
func formatExtensions(list []parsedExtension) string {
	var items []string
	for _, e := range list {
		item := e.name
		for _, p := range e.params {
			item += ";" + p.name
			if p.has {
				item += "=" + p.value
			}
		}
		items = append(items, item)
	}
	return strings.Join(items, ",")
}

// FuzzExtensionAnswers checks that no header field causes a panic, that a valid list is the
// same, and has the same meaning, after it was written and read again, and that CheckAnswer
// accepts the answers to valid offers.
func FuzzExtensionAnswers(f *testing.F) {
	for _, seed := range []string{
		"", "permessage-deflate", "permessage-deflate; client_max_window_bits, x", `a;b="c\d";e, ,f`,
		"permessage-deflate; server_no_context_takeover; server_max_window_bits=10",
		"permessage-deflate; server_no_context_takeover; client_max_window_bits=10",
		"permessage-deflate;server_no_context_takeover,permessage-deflate", `x;y="`, ";", "a;b=", "a b", "\x00", `a;b="\`, "a;b=\"c\\\"\"",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		agreed, answerErr := CheckAnswer([]string{list})
		if answerErr != nil {
			require.False(t, agreed)
		}
		parsed, err := parseExtensions(list)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			require.Error(t, answerErr)
			return
		}
		written := formatExtensions(parsed)
		again, err := parseExtensions(written)
		require.NoError(t, err)
		require.Equal(t, parsed, again)
		agreedAgain, err := CheckAnswer([]string{written})
		require.Equal(t, answerErr, err)
		require.Equal(t, agreed, agreedAgain)
		if agreed { // then it has the form of an offer, too
			require.Len(t, parsed, 1)
			require.Equal(t, extensionName, parsed[0].name)
		}
		for _, e := range parsed {
			if answer := answerOffer(e.params); answer != "" { // a client accepts it
				ok, err := CheckAnswer([]string{answer})
				require.NoError(t, err)
				require.True(t, ok)
			}
		}
	})
}
