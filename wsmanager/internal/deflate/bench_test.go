package deflate

import (
	"strings"
	"testing"
)

const benchmarkText = `{"id":17,"text":"hello, world"},`

// BenchmarkInflate inflates 1 KiB of JSON into a buffer that is big enough. It must not
// allocate.
func BenchmarkInflate(b *testing.B) {
	p := []byte(deflated(strings.Repeat(benchmarkText, 32), 1))
	dst := make([]byte, 0, 4096)
	b.SetBytes(1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Inflate(dst, p, true, 64<<10); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDeflate compresses 1 KiB of JSON. It must not allocate.
func BenchmarkDeflate(b *testing.B) {
	p := []byte(strings.Repeat(benchmarkText, 32))
	b.SetBytes(1024)
	b.ReportAllocs()
	for b.Loop() {
		d := GetDeflater(1)
		d.Deflate(p)
		PutDeflater(d)
	}
}
