/* cluster.h: the face of the room that groups points: exact k-means (Flash-KMeans on a CPU). */
#ifndef FR_CLUSTER_H
#define FR_CLUSTER_H

#include <frugal/kmeans.h>

#include "cluster/points.h"

#endif
