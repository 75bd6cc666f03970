package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
)

// maxNotes is the number of notes that the service keeps.
const maxNotes = 1000

type note struct {
	ID   int    `json:"id"`
	Text string `json:"text"`
}

// Validate implements middleware.Validator.
func (n note) Validate() []middleware.FieldError {
	if n.Text == "" || len(n.Text) > 500 {
		return []middleware.FieldError{{Pointer: "#/text", Detail: "must have 1 to 500 bytes"}}
	}
	return nil
}

// notes are kept in memory. changed is closed, and replaced, with each change.
type notes struct {
	mu      sync.Mutex
	list    []note
	last    int
	changed chan struct{}
}

func newNotes() *notes { return &notes{list: []note{}, changed: make(chan struct{})} }

func (n *notes) all() ([]note, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.list), n.changed
}

// change replaces the list by the result of f, and tells those who wait for a change.
func (n *notes) change(f func(list []note) []note) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = f(n.list)
	close(n.changed)
	n.changed = make(chan struct{})
}

// newest drops the oldest notes that are too many.
func newest(list []note) []note { return list[max(0, len(list)-maxNotes):] }

// ping is the health check: a lock that is held for long is a fault of the service.
func (n *notes) ping(context.Context) error {
	n.all()
	return nil
}

func (n *notes) api(log *slog.Logger) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /notes", middleware.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		list, _ := n.all()
		return middleware.WriteJSON(w, http.StatusOK, list)
	}))
	mux.Handle("POST /notes", middleware.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		added, err := middleware.ReadJSON[note](w, r)
		if err != nil {
			return err
		}
		n.change(func(list []note) []note {
			n.last++
			added.ID = n.last
			return newest(append(list, added))
		})
		log.InfoContext(r.Context(), "note added", "note", added.ID) // with the id of the request
		return middleware.WriteJSON(w, http.StatusCreated, added)
	}))
	mux.Handle("DELETE /notes/{id}", middleware.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		id, err := middleware.PathValue[int](r, "id")
		if err != nil {
			return err
		}
		n.change(func(list []note) []note { return slices.DeleteFunc(list, func(x note) bool { return x.ID == id }) })
		w.WriteHeader(http.StatusNoContent)
		return nil
	}))
	return mux
}

// events sends the number of notes with each change, until the client leaves or the server
// drains.
func (n *notes) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	for {
		list, changed := n.all()
		_, err := fmt.Fprintf(w, "data: %d\n\n", len(list))
		if err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-changed:
		case <-pipeline.Draining(r.Context()):
			return
		case <-r.Context().Done():
			return
		}
	}
}
