package harness

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Counts writes how often there was what, as "8000 × 1001, 2 × EOF".
func Counts[K cmp.Ordered](m map[K]int) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, fmt.Sprintf("%d × %v", m[k], k))
	}
	return strings.Join(list, ", ")
}
