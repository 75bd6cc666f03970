package hub

import "sync"

// unackedQueue has the records that the other side has not acknowledged, in order.
type unackedQueue struct {
	records [][]byte
	head    int // index of the first record; those before it are nil
	bytes   int // of the records
	size    int // memory that the records take: see recordSize
	limit   int // of size, which a record alone may exceed
	large   int // memory of the records that do
}

// recordSize is how many bytes of memory a waiting record of n bytes counts for, with its slice header and what the
// allocator rounds up.
func recordSize(n int) int { return max(n, 64) + 16 }

func (q *unackedQueue) len() int { return len(q.records) - q.head }

func (q *unackedQueue) push(record []byte) {
	q.records = append(q.records, record)
	q.count(record, 1)
}

// count adds the sizes of a record, or subtracts them.
func (q *unackedQueue) count(record []byte, sign int) {
	size := sign * recordSize(len(record))
	q.bytes += sign * len(record)
	q.size += size
	if size > q.limit || -size > q.limit {
		q.large += size
	}
}

// drop removes the first n records. Its cost is proportional to n over time: the rest moves only when it is shorter than the
// part that was removed.
func (q *unackedQueue) drop(n int) {
	for i := q.head; i < q.head+n; i++ {
		q.count(q.records[i], -1)
		q.records[i] = nil
	}
	q.head += n
	switch {
	case q.head == len(q.records):
		q.records, q.head = nil, 0
	case q.head > len(q.records)/2:
		rest := append(make([][]byte, 0, 2*q.len()), q.records[q.head:]...)
		q.records, q.head = rest, 0
	}
}

// from returns the records from the i-th on.
func (q *unackedQueue) from(i int) [][]byte { return q.records[q.head+i:] }

// joinBuffers has *[]byte in which records are joined.
var joinBuffers = sync.Pool{New: func() any { return new([]byte) }}

// joinRecords joins the first records, as many as fit into limit bytes and at least one, in buf. A single record is not
// copied.
func joinRecords(buf *[]byte, records [][]byte, limit int) (payload []byte, n int) {
	size := 0
	for n < len(records) && (n == 0 || size+len(records[n]) <= limit) {
		size += len(records[n])
		n++
	}
	if n == 1 {
		return records[0], 1
	}
	*buf = (*buf)[:0]
	for _, r := range records[:n] {
		*buf = append(*buf, r...)
	}
	return *buf, n
}
