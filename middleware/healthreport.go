package middleware

import (
	"encoding/json"
	"fmt"
	"time"
)

// HealthReport is the answer of a health endpoint: what its checks found.
type HealthReport struct {
	Status HealthStatus  // the worst of the checks', Healthy if there are none
	Took   time.Duration // from the question to the last answer
	Checks []HealthEntry // in the order of HealthChecksOptions.Checks
}

// HealthEntry is one check's part of a report. It may be shared with the reports
// of other requests: don't change what Tags and Data refer to.
type HealthEntry struct {
	Name        string
	Tags        []string
	Status      HealthStatus
	Description string         // of the check, or why there was no result
	Data        map[string]any // of the check
	Took        time.Duration  // of the run, so far where it has not ended
	CheckedAt   time.Time      // when the run began: earlier than the question where MaxAge or another request's run saved one

	// Err is what a failed check returned, nil for the others. Its text is for
	// the log: it may hold addresses, statements and other secrets, and is not
	// part of the JSON form.
	Err error
}

// MarshalJSON implements json.Marshaler with what [HealthChecksOptions].JSON
// sends, without the texts of errors. It fails where a check's Data can't be
// encoded.
func (rep HealthReport) MarshalJSON() ([]byte, error) {
	var failed error
	out := rep.form(false, func(e *HealthEntry, err error) { failed = fmt.Errorf("the data of the check %q: %w", e.Name, err) })
	if failed != nil {
		return nil, failed
	}
	return json.Marshal(out)
}

type healthReportForm struct {
	Status     HealthStatus               `json:"status"`
	DurationMs float64                    `json:"durationMs"`
	Checks     map[string]healthEntryForm `json:"checks"`
}

type healthEntryForm struct {
	Status      HealthStatus    `json:"status"`
	Description string          `json:"description,omitempty"`
	DurationMs  float64         `json:"durationMs"`
	CheckedAt   time.Time       `json:"checkedAt"`
	Tags        []string        `json:"tags,omitempty"`
	Data        json.RawMessage `json:"data,omitempty"`
	Error       string          `json:"error,omitempty"`
}

// form is the report as it goes out. Data that can't be encoded is left out and
// reported.
func (rep HealthReport) form(withErrors bool, badData func(*HealthEntry, error)) healthReportForm {
	out := healthReportForm{rep.Status, healthMilliseconds(rep.Took), make(map[string]healthEntryForm, len(rep.Checks))}
	for i := range rep.Checks {
		e := &rep.Checks[i]
		f := healthEntryForm{Status: e.Status, Description: e.Description, DurationMs: healthMilliseconds(e.Took), CheckedAt: e.CheckedAt.UTC(), Tags: e.Tags}
		if len(e.Data) > 0 {
			data, err := json.Marshal(e.Data)
			if err != nil {
				badData(e, err)
			} else {
				f.Data = data
			}
		}
		if withErrors && e.Err != nil {
			f.Error = errorText(e.Err)
		}
		out.Checks[e.Name] = f
	}
	return out
}

// healthMilliseconds keeps three digits behind the point.
func healthMilliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
