package middleware

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxRanges is the number of ranges up to which a request gets parts of a file. A part costs
// more than its range in the request, so a request for more gets the whole file, as RFC 9110,
// section 14.2, allows.
const maxRanges = 32

// The texts of 416 answers, which are net/http's.
var (
	errInvalidRange       = errors.New("invalid range")
	errUnsatisfiableRange = errors.New("invalid range: failed to overlap")
)

// byteRange is a part of a file.
type byteRange struct{ start, length int64 }

// contentRange returns the value of Content-Range.
func (ra byteRange) contentRange(size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", ra.start, ra.start+ra.length-1, size)
}

// parseByteRanges returns the ranges of a Range header (RFC 9110, section 14.1.2) for a file. There
// are none if the header is to be ignored: its unit is not bytes, it has too many ranges, or
// they are longer than the file together. ascending also ignores ranges that overlap or go
// back.
func parseByteRanges(header string, size int64, ascending bool) ([]byteRange, error) {
	unit, set, found := strings.Cut(header, "=")
	if !strings.EqualFold(unit, "bytes") {
		return nil, nil
	}
	if !found {
		return nil, errInvalidRange
	}
	var ranges []byteRange
	specs, suffixes := 0, 0
	total, end := int64(0), int64(0)
	for spec := range strings.SplitSeq(set, ",") {
		if spec = strings.Trim(spec, " \t"); spec == "" {
			continue
		}
		if specs++; specs > maxRanges {
			return nil, nil
		}
		ra, suffix, err := parseByteRange(spec, size)
		if err != nil {
			return nil, err
		}
		if suffix {
			suffixes++
		}
		if ra.length == 0 {
			continue // RFC 9110, section 14.1.1: not satisfiable
		}
		if ascending && ra.start < end || ra.length > size-total {
			return nil, nil
		}
		total += ra.length
		end = ra.start + ra.length
		ranges = append(ranges, ra)
	}
	// Some clients request each file with bytes=0-. An empty one is no error for them.
	if specs > 0 && len(ranges) == 0 && (size > 0 || suffixes > 0) {
		return nil, errUnsatisfiableRange
	}
	return ranges, nil
}

// parseByteRange parses one range. Its length is 0 if it can't be satisfied.
func parseByteRange(spec string, size int64) (ra byteRange, suffix bool, err error) {
	first, last, found := strings.Cut(spec, "-")
	first, last = strings.Trim(first, " \t"), strings.Trim(last, " \t")
	if !found || first == "" && last == "" {
		return ra, false, errInvalidRange
	}
	if first == "" {
		length, err := parsePosition(last)
		if err != nil {
			return ra, true, err
		}
		length = min(length, size)
		return byteRange{size - length, length}, true, nil
	}
	start, err := parsePosition(first)
	if err != nil {
		return ra, false, err
	}
	if start >= size {
		return ra, false, nil
	}
	end := size - 1
	if last != "" {
		e, err := parsePosition(last)
		if err != nil || e < start {
			return ra, false, errInvalidRange
		}
		end = min(e, end)
	}
	return byteRange{start, end - start + 1}, false, nil
}

// parsePosition parses digits, without a sign.
func parsePosition(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, errInvalidRange
	}
	return int64(n), nil
}
