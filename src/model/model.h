/* model.h: the face of the room that knows architectures: each a builder from a config. */
#ifndef FR_MODEL_H
#define FR_MODEL_H

#include "model/folder.h"
#include "model/decoder.h"
#include "model/encoder.h"
#include "model/encoder_quantize.h"
#include "model/lora.h"
#include "model/outlier.h"
#include "model/layer_weights.h"
#include "model/rotate.h"
#include "model/smooth.h"
#include "model/reorder.h"
#include "model/gguf_export.h"
#include "model/quantize.h"

#endif
