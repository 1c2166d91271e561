// Package charts holds the Helm chart ensure-volumes. There is no code here; the package's tests render the chart with
// helm, hold it to config/webhook and to the types of Kubernetes' API, and keep its README current:
//
//	go test ./charts -run TestReadme -update
package charts
