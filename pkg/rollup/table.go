package rollup

// A table maps keys to values that are modified in place. Rows are in the order of
// their addition.
type table[K comparable, V any] struct {
	index map[K]int
	rows  []row[K, V]
	max   int // rows; the owner of the table checks it
}

type row[K comparable, V any] struct {
	key   K
	value V
}

func newTable[K comparable, V any](max int) table[K, V] {
	return table[K, V]{index: make(map[K]int), max: max}
}

func (t *table[K, V]) full() bool { return len(t.rows) >= t.max }

func (t *table[K, V]) find(k K) (int, bool) {
	i, ok := t.index[k]
	return i, ok
}

// insert returns the row of k, and adds it if it is missing.
func (t *table[K, V]) insert(k K) int {
	if i, ok := t.index[k]; ok {
		return i
	}
	i := len(t.rows)
	t.rows = append(t.rows, row[K, V]{key: k})
	t.index[k] = i
	return i
}
