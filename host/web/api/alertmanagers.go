package api

import "net/http"

type alertmanager struct {
	URL string `json:"url"`
}

type alertmanagersAnswer struct {
	Active  []alertmanager `json:"activeAlertmanagers"`
	Dropped []alertmanager `json:"droppedAlertmanagers"`
}

func (a *api) alertmanagers(*http.Request) (*answer, error) {
	list := func(urls []string) []alertmanager {
		out := make([]alertmanager, len(urls))
		for i, u := range urls {
			out[i].URL = u
		}
		return out
	}
	return &answer{data: alertmanagersAnswer{
		Active: list(a.Alertmanagers.Alertmanagers()), Dropped: list(a.Alertmanagers.DroppedAlertmanagers()),
	}}, nil
}
