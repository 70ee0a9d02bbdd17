/* base.h: the public face of the room below all others. It only gathers its parts. */
#ifndef FR_BASE_H
#define FR_BASE_H

#include <frugal/types.h>

#include "base/status.h"
#include "base/memory.h"
#include "base/log.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/pool.h"
#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/table.h"
#include "base/text.h"

#endif
