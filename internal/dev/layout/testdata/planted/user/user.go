// Package user uses package api.
package user

import "planted/api"

type point struct{ X, Y int }

func converted() point { return point(api.Origin()) }

func use() int {
	d := api.Read()
	d.Save()
	return d.Used + int(api.Low)
}
