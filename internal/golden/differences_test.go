package golden_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// differenceList is differences.json.
type differenceList struct {
	Classes map[string]*differenceClass `json:"classes"`
}

// differenceClass is one kind of difference, with its treatment.
type differenceClass struct {
	Title string `json:"title"`
	Right string `json:"right"`
	Why   string `json:"why"`

	// One of these: the first cell of the row in docs/aspnet.md, or that nothing is done
	// because of Why.
	Row     string `json:"row,omitempty"`
	Nothing bool   `json:"nothing,omitempty"`

	Cases map[string][]string `json:"cases"` // fields by case
}

func readDifferences(t *testing.T) *differenceList {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "differences.json"))
	require.NoError(t, err)
	list := &differenceList{}
	require.NoError(t, json.Unmarshal(text, list))
	return list
}

// fields returns the class of each listed field, by case.
func (list *differenceList) fields() map[string]map[string]string {
	byCase := map[string]map[string]string{}
	for name, class := range list.Classes {
		for id, fields := range class.Cases {
			if byCase[id] == nil {
				byCase[id] = map[string]string{}
			}
			for _, field := range fields {
				byCase[id][field] = name
			}
		}
	}
	return byCase
}

// Each class has a reason, and each that a porter meets has a row in docs/aspnet.md.
func TestDifferencesAreExplained(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "aspnet.md"))
	require.NoError(t, err)
	known := map[string]bool{}
	for _, c := range readCorpus(t) {
		known[c.ID] = true
	}
	for name, class := range readDifferences(t).Classes {
		require.NotEmpty(t, class.Title, name)
		require.NotEmpty(t, class.Why, name)
		require.NotEmpty(t, class.Cases, "%s: no case has it: take the class out", name)
		require.NotEqual(t, class.Nothing, class.Row != "", "%s: either it has a row, or there is nothing to do", name)
		if class.Row != "" {
			require.Contains(t, string(text), "\n| "+class.Row+" |", "docs/aspnet.md has no row for the class %s", name)
		}
		for id, fields := range class.Cases {
			require.True(t, known[id], "%s: there is no case %s", name, id)
			require.NotEmpty(t, fields, "%s: %s", name, id)
		}
	}
}
