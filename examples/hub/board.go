package main

import (
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// What is kept and taken of the board; the page knows maxPoints too.
const (
	maxPoints  = 64     // in a stroke; the page sends a longer line as several
	maxInk     = 30_000 // points on the board; the oldest strokes go first
	maxSaid    = 50     // messages that who comes later can read
	maxName    = 24     // runes
	maxText    = 1000   // runes
	maxPeople  = 200
	coordinate = 10_000 // of the lower right corner
	colours    = 8
	widths     = 3
)

// person is somebody at the board.
type person struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// stroke is a piece of a line: x and y of its points, one after the other.
type stroke struct {
	Colour int   `json:"colour"`
	Width  int   `json:"width"`
	Points []int `json:"points"`
}

// remark is what somebody has said.
type remark struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Text string `json:"text"`
}

// scene is what who enters finds.
type scene struct {
	You     person   `json:"you"`
	People  []person `json:"people"`
	Strokes []stroke `json:"strokes"`
	Said    []remark `json:"said"`
}

// board is the whiteboard and who is at it. What changes it is sent under mu, so
// that everybody hears of the changes in one order, and those who enter miss
// nothing and get nothing twice. Sends wait for nobody.
type board struct {
	mu      sync.Mutex
	people  []person // in the order in which they came
	strokes []stroke
	ink     int // points of strokes
	said    []remark
}

func newBoard() *board { return &board{} }

// find returns a person's place in people, or -1.
func (b *board) find(id string) int {
	for i, p := range b.people {
		if p.ID == id {
			return i
		}
	}
	return -1
}

// add keeps a stroke, and forgets old ones.
func (b *board) add(s stroke) {
	b.strokes = append(b.strokes, s)
	b.ink += len(s.Points) / 2
	for b.ink > maxInk {
		b.ink -= len(b.strokes[0].Points) / 2
		b.strokes = b.strokes[1:]
	}
}

// check says what is wrong with a stroke.
func (s stroke) check() error {
	switch {
	case s.Colour < 0 || s.Colour >= colours:
		return hub.Error("There is no such colour.")
	case s.Width < 0 || s.Width >= widths:
		return hub.Error("There is no such width.")
	case len(s.Points) < 2 || len(s.Points) > 2*maxPoints || len(s.Points)%2 != 0:
		return hub.Error("A stroke has 1 to 64 points.")
	}
	for _, p := range s.Points {
		if p < 0 || p > coordinate {
			return hub.Error("A point is beside the board.")
		}
	}
	return nil
}

// clean makes a line of what was typed: without control characters and outer
// spaces, of limit runes at most.
func clean(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, text)
	runes := []rune(strings.TrimSpace(text))
	return strings.TrimSpace(string(runes[:min(len(runes), limit)]))
}
