/* tensor.h: the face of the room that knows number types, views, files of tensors and pictures. */
#ifndef FR_TENSOR_H
#define FR_TENSOR_H

#include <frugal/store.h>

#include "base/base.h"
#include "tensor/dtype.h"
#include "tensor/names.h"
#include "tensor/view.h"
#include "tensor/store.h"
#include "tensor/npy.h"
#include "tensor/image.h"

#endif
