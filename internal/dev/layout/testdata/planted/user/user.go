// Package user uses package api.
package user

import "planted/api"

func use() int {
	d := api.Read()
	d.Save()
	return d.Used + int(api.Low)
}
