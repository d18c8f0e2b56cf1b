/* After the end of data: checks of the whole message, the chain, the stamps, the way to the relay, the final reply. */
#ifndef POSTERN_FRONT_JUDGE_H
#define POSTERN_FRONT_JUDGE_H

#include "front/transaction.h"

/* The message is complete and sealed. The reply comes now or later; the budget runs from here. */
void judge_message(struct transaction *transaction);
/* Goes on after the reverse name has become known. */
void judge_go_on(struct transaction *transaction);
/* The relay's answer. */
void judge_delivered(struct transaction *transaction, const struct delivery_result *result);
/* Asked by the relay before our final dot. */
bool judge_may_finish(const struct transaction *transaction);

#endif
