/* frugal.h: the whole public face of the library. */
#ifndef FRUGAL_H
#define FRUGAL_H

#include <frugal/types.h>
#include <frugal/store.h>
#include <frugal/graph.h>
#include <frugal/ops.h>
#include <frugal/kmeans.h>

#endif
