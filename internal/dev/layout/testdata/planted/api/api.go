// Package api has exported names that the others use, and some that they do not.
package api

import "io"

const Unused = 1

// A Level is an enumeration: the use of one stands for all.
type Level int

const (
	Low Level = iota
	High
)

// A Document has members that only JSON names.
type Document struct {
	Member  string `json:"member"`
	Parts   []Part `json:"parts"`
	Used    int
	NotUsed int
}

// A Part is named in a document only.
type Part struct {
	Name string `json:"name"`
}

// Read returns a document, whose type other packages need not name.
func Read() *Document { return &Document{Used: 1, NotUsed: 2} }

func (*Document) Save() {}
func (*Document) Load() {}

// Write implements io.Writer.
func (*Document) Write(p []byte) (int, error) { return len(p), nil }

func (*Document) Unwrap() error { return io.EOF }
func (*Document) Error() string { return "" }

// An Item is a constraint.
type Item interface{ ~int }

// A Point is converted by its user.
type Point struct{ X, Y int }

func Origin() Point { return Point{} }

type Alone struct{ Field int }

func (Alone) Method() {}

// A List is generic, and used by a test of another package.
type List[T Item] struct{ Items []T }

func (l *List[T]) Add(item T)  { l.Items = append(l.Items, item) }
func (l *List[T]) Drop(item T) {}
