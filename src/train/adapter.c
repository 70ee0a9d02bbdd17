/* adapter.c: see adapter.h; model/lora.h does the work. */
#include "train/adapter.h"

bool fr_adapter_part(const char *param, void *unused) {
    return fr_lora_trains(param, unused);
}

fr_status fr_adapter_write(const fr_job *job, fr_session *s, const fr_graph *g,
                           const char *folder) {
    fr_lora *l;
    FR_TRY(fr_lora_take(s, g, job->model_opts.lora_alpha, &l));
    fr_status st = fr_lora_save(l, job->base, folder);
    fr_lora_free(l);
    return st;
}

/* Into the weights of the session, and out again when they are written. */
static fr_status write_merged(const fr_lora *l, const fr_decoder *m, fr_session *s,
                              const fr_graph *g, const char *folder) {
    fr_lora_kept *kept;
    FR_TRY(fr_lora_merge(l, 1, s, g, &kept));
    fr_status st = fr_decoder_save(folder, m, s, g), back = fr_lora_restore(kept);
    fr_lora_kept_free(kept);
    return st ? st : back;
}

fr_status fr_adapter_write_merged(const fr_job *job, const fr_decoder *m, fr_session *s,
                                  const fr_graph *g, const char *folder) {
    fr_lora *l;
    FR_TRY(fr_lora_take(s, g, job->model_opts.lora_alpha, &l));
    fr_status st = write_merged(l, m, s, g, folder);
    fr_lora_free(l);
    return st;
}
