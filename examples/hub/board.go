package main

import (
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/speakingtube/speakingtube/wsmanager/hub"
)

// Limits of the board and of the input of its clients. The page also uses maxPoints.
const (
	maxPoints  = 64     // in a stroke; the page splits a longer line
	maxInk     = 30_000 // points on the board; the oldest strokes go first
	maxSaid    = 50     // messages kept for people who enter later
	maxName    = 24     // runes
	maxText    = 1000   // runes
	maxPeople  = 200
	coordinate = 10_000 // of the lower right corner
	colours    = 8
	widths     = 3
)

// person is a person at the board.
type person struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// stroke is a piece of a line. Points has x and y of each point in turn.
type stroke struct {
	Colour int   `json:"colour"`
	Width  int   `json:"width"`
	Points []int `json:"points"`
}

// remark is a chat message.
type remark struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Text string `json:"text"`
}

// scene is the state of the board for a person who enters.
type scene struct {
	You     person   `json:"you"`
	People  []person `json:"people"`
	Strokes []stroke `json:"strokes"`
	Said    []remark `json:"said"`
}

// board is the whiteboard and the people at it. Changes are sent under mu, so all people
// get them in the same order, and a person who enters misses none and gets none twice.
// Sends do not wait for clients.
type board struct {
	mu      sync.Mutex
	people  []person // in the order of their arrival
	strokes []stroke
	ink     int // points of strokes
	said    []remark
}

func newBoard() *board { return &board{} }

// find returns a person's index in people, or -1.
func (b *board) find(id string) int {
	for i, p := range b.people {
		if p.ID == id {
			return i
		}
	}
	return -1
}

// add appends a stroke and drops the oldest ones.
func (b *board) add(s stroke) {
	b.strokes = append(b.strokes, s)
	b.ink += len(s.Points) / 2
	for b.ink > maxInk {
		b.ink -= len(b.strokes[0].Points) / 2
		b.strokes = b.strokes[1:]
	}
}

// check returns the mistake in a stroke, or nil.
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

// clean makes one line of typed text: without control characters and outer spaces, at most
// limit runes.
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
