package main

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// newChat sends each message to everybody. Its log records have the ids of the requests.
func newChat(log *slog.Logger, origin string) *wsmanager.Manager {
	return wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			c.Manager().Broadcast(m)
			return nil
		},
	}, wsmanager.Options{
		Logger: log, LogAttrs: middleware.LogAttrs,
		MaxConnections: 10_000, Origins: wsmanager.Origins{Allowed: []string{origin}},
		Limits: wsmanager.Limits{MaxMessageSize: 4 << 10, MessageRate: 20},
	})
}

// metrics are those of Prometheus. The route of a request has few values, whatever clients
// send.
type metrics struct {
	registry *prometheus.Registry
	seconds  *prometheus.HistogramVec
}

func newMetrics(chat *wsmanager.Manager) *metrics {
	m := &metrics{prometheus.NewRegistry(), prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_duration_seconds", Help: "Time from the request to the end of the answer.",
	}, []string{"route", "code"})}
	m.registry.MustRegister(m.seconds, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "chat_connections", Help: "Open WebSockets of the chat.",
	}, func() float64 { return float64(chat.Stats().Connections) }))
	return m
}

// measure observes each request. Its duration is that of the whole answer.
func (m *metrics) measure(w http.ResponseWriter, r *http.Request, res *pipeline.Response, next http.Handler) {
	start := time.Now()
	_ = res.OnCompleted(func() {
		m.seconds.WithLabelValues(res.Route(), strconv.Itoa(res.Status())).Observe(time.Since(start).Seconds())
	})
	next.ServeHTTP(w, r)
}
