package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A clientsRecord has the Client dimension values of a load balancer's hour.
type clientsRecord struct {
	Clients []string `json:"clients"`
}

// Clients reserves values of the dimension Client for a load balancer's hour,
// first come, first served, and at most budget of them over all invocations. It
// returns those of the wanted that may be used.
func (l *Ledger) Clients(ctx context.Context, lb string, hour time.Time, wanted []string, budget int) ([]string, error) {
	key := clientsKey(lb, hour)
	for round := 1; ; round++ {
		r, etag, err := get[clientsRecord](ctx, l.store, key)
		missing := errors.Is(err, ErrNotFound)
		if err != nil && !missing {
			return nil, fmt.Errorf("client budget: %w", err)
		}
		var granted []string
		before := len(r.Clients)
		for _, c := range wanted {
			switch {
			case slices.Contains(r.Clients, c):
			case len(r.Clients) < budget:
				r.Clients = append(r.Clients, c)
			default:
				continue
			}
			granted = append(granted, c)
		}
		if len(r.Clients) == before {
			return granted, nil
		}
		body, err := json.Marshal(r)
		if err != nil {
			return nil, fmt.Errorf("client budget: %w", err)
		}
		if missing {
			_, err = l.store.Create(ctx, key, body)
		} else {
			_, err = l.store.Replace(ctx, key, body, etag)
		}
		switch {
		case err == nil:
			return granted, nil
		case !lostRace(err) || round == maxRounds+budget: // each lost race uses up some of the budget
			return nil, fmt.Errorf("client budget: %w", err)
		}
	}
}
