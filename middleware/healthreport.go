package middleware

import (
	"encoding/json"
	"fmt"
	"time"
)

// HealthReport is the report of a health endpoint.
type HealthReport struct {
	Status HealthStatus  // the worst status of the checks, Healthy without checks
	Took   time.Duration // from the request to the last result
	Checks []HealthEntry // in the order of HealthChecksOptions.Checks
}

// HealthEntry is one check's part of a report. It may be shared with the reports of other
// requests: do not modify the values that Tags and Data refer to.
type HealthEntry struct {
	Name        string
	Tags        []string
	Status      HealthStatus
	Description string         // from the check, or the reason why there is no result
	Data        map[string]any // from the check
	Took        time.Duration  // duration of the run, up to now if it has not ended
	CheckedAt   time.Time      // start of the run: before the request if MaxAge or another request's run provided the result

	// Err is the error of a failed check, nil for others. Its text is for the log: it may
	// contain addresses, statements and other secrets, and is not part of the JSON form.
	Err error
}

// MarshalJSON implements json.Marshaler with the form of [HealthChecksOptions].JSON,
// without the texts of errors. It fails if a check's Data can't be encoded.
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

// form returns the report in its JSON form. Data that can't be encoded is omitted, and
// passed to badData.
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

// healthMilliseconds keeps three decimal places.
func healthMilliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
