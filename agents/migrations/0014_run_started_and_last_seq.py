from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("agents", "0013_token_expiry_and_stream_tickets")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="started_seq",
            field=models.BigIntegerField(blank=True, help_text="The event with which it left the queue.", null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="last_seq",
            field=models.BigIntegerField(blank=True, help_text="Its last event's place: of its `done`.", null=True),
        ),
    ]
